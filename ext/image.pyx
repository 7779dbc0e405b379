"""Process images: a process writes its memory into a file, and a sibling goes on from there in its place.

Both are forked, by whomever, from one process that imported this module: the zygote. What an image is stands in
image.h. Descriptors, children and /tmp are no part of it: see engine/worker/snapshot.py.
"""

import os

from libc.stdint cimport uint32_t, uint64_t
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

cdef extern from "engine/_ext/image.h" nogil:
    const bint IMAGE_SUPPORTED
    const uint64_t MESSAGE_MAX "((uint64_t)MESSAGE_MAX)"

cdef extern from *:
    """
    #include "engine/_ext/image.h"
    #if IMAGE_SUPPORTED
    #include "engine/_ext/image_capture.h"
    #include "engine/_ext/image_restore.h"
    #include "engine/_ext/image_libraries.h"
    #else
    typedef struct { uint64_t place, bytes, message_bytes; char message[MESSAGE_MAX]; } leave_t;
    static int identify(identity_t *to) { return -1; }
    static int stands_alone(const identity_t *by, failure_t *why) {
        return fail(why, ENOTSUP, "process images are made for x86-64 Linux only");
    }
    static long capture_image(int fd, const char *own, const identity_t *by, failure_t *why) { return -1; }
    static int restore_image(int fd, const char *text, uint64_t n, const identity_t *by, failure_t *why) {
        return fail(why, ENOTSUP, "process images are made for x86-64 Linux only");
    }
    static void stir_openssl_pools(const char *entropy, int length) {}
    static int fork_and_end(void) { return 0; }
    static int read_statistics(int fd, header_t *to, failure_t *why) {
        return fail(why, ENOTSUP, "process images are made for x86-64 Linux only");
    }
    #endif
    """
    ctypedef struct identity_t:
        pass
    ctypedef struct failure_t:
        int code
        char text[320]
    ctypedef struct leave_t:
        uint64_t place, bytes, message_bytes
        char message[1]
    ctypedef struct header_t:
        uint64_t image_bytes, data_bytes
        uint32_t pieces, files
    int identify(identity_t*)
    int stands_alone(const identity_t*, failure_t*)
    long capture_image(int, const char*, const identity_t*, failure_t*)
    int restore_image(int, const char*, uint64_t, const identity_t*, failure_t*)
    int read_statistics(int, header_t*, failure_t*)
    void stir_openssl_pools(const char*, int)
    int fork_and_end() nogil
    int munmap(void*, size_t)
    void PyOS_BeforeFork()
    void PyOS_AfterFork_Parent()
    void PyOS_AfterFork_Child()

SUPPORTED = bool(IMAGE_SUPPORTED)

cdef identity_t identity    # taken down in the zygote, the same in all that is forked from it
cdef bint is_restored = False

if SUPPORTED and identify(&identity) != 0:
    raise OSError("the kernel gives no random bytes for the zygote's token")


cdef object _error(failure_t* failure_ptr):
    return OSError(failure_ptr.code, failure_ptr.text.decode("utf-8", "replace"))


def capture(int image_fd, str own_folder="/tmp/") -> "bytes | None":
    """Write this process's memory into an empty file. Returns None here, and in each process that is restored from the
    image the message that `restore` was given.

    The process has one thread, the one the zygote was forked on, and no writable shared memory: OSError says which of
    it stands in the way, and the process goes on. `os.register_at_fork` hooks run as they do around a fork, those for
    the child too, once, before anything is written: restored processes have what they did. Files mapped from below
    `own_folder` are kept in the image, as each environment has its own.
    """
    global is_restored
    cdef bytes folder = os.fsencode(own_folder)
    cdef failure_t failure
    cdef long outcome
    cdef leave_t* leave_ptr
    cdef bytes message
    if is_restored:
        raise OSError("a process that was restored from an image cannot be captured again")
    PyOS_BeforeFork()
    if stands_alone(&identity, &failure) != 0:
        PyOS_AfterFork_Parent()
        raise _error(&failure)
    PyOS_AfterFork_Child()  # here rather than in each restored process, where it would be an eighth of its start
    outcome = capture_image(image_fd, PyBytes_AS_STRING(folder), &identity, &failure)
    if outcome > 0:
        is_restored = True
        leave_ptr = <leave_t*>outcome
        message = PyBytes_FromStringAndSize(leave_ptr.message, <Py_ssize_t>leave_ptr.message_bytes)
        munmap(<void*>leave_ptr.place, leave_ptr.bytes)
        return message
    if outcome < 0:
        raise _error(&failure)
    return None


def restore(int image_fd, bytes message not None=b"") -> None:
    """Become the process of an image: on success nothing returns, `capture` returns `message` there, and `image_fd` is
    closed. All other descriptors, limits, namespaces and filters stay this process's own.

    Raises OSError, with this process unharmed, when the image is none (EINVAL), was written by another zygote's child
    (EXDEV), or needs a file that is not there any more (ENOENT, ESTALE); ValueError for more than 1 MiB of message.
    """
    cdef failure_t failure
    if len(message) > <Py_ssize_t>MESSAGE_MAX:
        raise ValueError(f"a message of {len(message)} bytes is longer than {MESSAGE_MAX}")
    restore_image(image_fd, PyBytes_AS_STRING(message), len(message), &identity, &failure)
    raise _error(&failure)


def statistics(int image_fd) -> dict:
    """How large an image is: `image_bytes`, of them `data_bytes` memory, in `pieces`, with `files` mapped."""
    cdef failure_t failure
    cdef header_t header
    if read_statistics(image_fd, &header, &failure) != 0:
        raise _error(&failure)
    return {"image_bytes": header.image_bytes, "data_bytes": header.data_bytes, "pieces": header.pieces,
            "files": header.files}


def prepare_libraries() -> None:
    """Run what C libraries registered with pthread_atfork, as a fork does, and no hook of Python's. Raises OSError."""
    cdef int failed
    with nogil:
        failed = fork_and_end()
    if failed:
        raise OSError(failed, "a fork for the libraries' hooks failed: " + os.strerror(failed))


def stir_openssl(bytes entropy not None) -> None:
    """Add `entropy` to every OpenSSL that is loaded as a library, whoever brought it."""
    stir_openssl_pools(PyBytes_AS_STRING(entropy), <int>len(entropy))
