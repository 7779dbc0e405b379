"""File systems mounted by descriptor: made detached, seen nowhere until attached. Raw calls, OSError on failure.

A detached mount lives as long as its descriptors; closing the last one unmounts it. What is mounted where is not here.
"""

import os

from libc.errno cimport errno

cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <fcntl.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    /* One number on every machine; older C headers lack them. */
    enum { MOVE_MOUNT = 429, FSOPEN = 430, FSCONFIG = 431, FSMOUNT = 432 };
    enum { CONFIG_FLAG = 0, CONFIG_STRING = 1, CONFIG_CREATE = 6, CLOSED_ON_EXEC = 1, FROM_DESCRIPTOR = 4 };
    enum { ATTR_RDONLY = 1, ATTR_NOSUID = 2, ATTR_NODEV = 4, ATTR_NOEXEC = 8, ATTR_NOATIME = 16 };
    static int fs_open(const char *type) { return (int)syscall(FSOPEN, type, CLOSED_ON_EXEC); }
    static int fs_config(int fd, const char *key, const char *value) {
        return (int)syscall(FSCONFIG, fd, value ? CONFIG_STRING : CONFIG_FLAG, key, value, 0);
    }
    static int fs_create(int fd) { return (int)syscall(FSCONFIG, fd, CONFIG_CREATE, 0, 0, 0); }
    static int fs_mount(int fd, unsigned attributes) { return (int)syscall(FSMOUNT, fd, CLOSED_ON_EXEC, attributes); }
    static int move_here(int fd, const char *path) {
        return (int)syscall(MOVE_MOUNT, fd, "", AT_FDCWD, path, FROM_DESCRIPTOR);
    }
    """
    int ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOEXEC, ATTR_NOATIME
    int fs_open(const char*)
    int fs_config(int, const char*, const char*)
    int fs_create(int)
    int fs_mount(int, unsigned int)
    int move_here(int, const char*)

RDONLY, NOSUID, NODEV = ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV
NOEXEC, NOATIME = ATTR_NOEXEC, ATTR_NOATIME


def filesystem_mount(str type, dict options, unsigned int attributes=ATTR_NOSUID | ATTR_NODEV) -> int:
    """A descriptor, closed on execve, of a new detached mount of a file system of this type.

    `options` maps names to strings, None for an option without a value; `source` is one of them. `attributes` is a sum
    of this module's constants. OSError, with what the file system said about it.
    """
    cdef int made, context = _result(fs_open(type.encode()))
    try:
        for key, value in options.items():
            _configure(context, key.encode(), value)
        with nogil:
            made = fs_create(context)
        if made < 0:
            raise OSError(errno, os.strerror(errno))
        return _result(fs_mount(context, attributes))
    except OSError as error:
        raise OSError(error.errno, f"cannot mount {type}: {error.strerror}{_complaint(context)}") from None
    finally:
        os.close(context)


def attach(int mount_fd, path) -> None:
    """Show a detached mount at `path` in the caller's mount namespace: once. There it outlives its descriptor."""
    if move_here(mount_fd, os.fsencode(path)) < 0:
        raise OSError(errno, os.strerror(errno), os.fspath(path))


cdef int _configure(int context, bytes key, value) except -1:
    cdef bytes text
    if value is None:
        return _result(fs_config(context, key, NULL))
    text = value.encode()
    return _result(fs_config(context, key, text))


def _complaint(int context) -> str:
    """The last line that the file system left in the context's log, if any; without its one-letter level."""
    said = ""
    for _ in range(8):  # the kernel keeps that many
        try:
            said = os.read(context, 256).decode(errors="replace").strip()
        except OSError:  # ENODATA: there are no more
            break
    return f" ({said[2:]})" if said else ""


cdef int _result(int result) except -1:
    if result < 0:
        raise OSError(errno, os.strerror(errno))
    return result
