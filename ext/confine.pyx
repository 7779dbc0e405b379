"""What a process gives up for good: capabilities, new privileges, system calls, paths. Raw calls, OSError on failure.

Which calls and which paths is decided in engine/sandbox; the order of the steps is the caller's.
"""

import os

from libc.errno cimport errno
from libc.stdint cimport uint64_t

cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <errno.h>
    #include <linux/capability.h>
    #include <linux/filter.h>
    #include <linux/seccomp.h>
    #include <stdint.h>
    #include <sys/prctl.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    /* One number on every machine; older C headers lack them, or know only the first field of the attributes. */
    enum { LANDLOCK_CREATE = 444, LANDLOCK_ADD = 445, LANDLOCK_RESTRICT = 446, LANDLOCK_VERSION = 1, BENEATH = 1 };
    struct landlock_rights { uint64_t fs, net, scoped; };
    struct landlock_beneath { uint64_t access; int32_t parent_fd; } __attribute__((packed));

    static int landlock_version(void) {
        long version = syscall(LANDLOCK_CREATE, 0, 0, LANDLOCK_VERSION);
        return version < 0 ? 0 : (int)version;
    }
    /* A kernel that knows fewer fields takes the longer structure as long as the rest of it is zero. */
    static int create_ruleset(uint64_t fs, uint64_t net, uint64_t scoped) {
        struct landlock_rights rights = { fs, net, scoped };
        return (int)syscall(LANDLOCK_CREATE, &rights, sizeof rights, 0);
    }
    static int allow_beneath(int ruleset_fd, int path_fd, uint64_t access) {
        struct landlock_beneath rule = { access, path_fd };
        return (int)syscall(LANDLOCK_ADD, ruleset_fd, BENEATH, &rule, 0);
    }
    static int restrict_self(int ruleset_fd) { return (int)syscall(LANDLOCK_RESTRICT, ruleset_fd, 0); }
    static int set_filter(const char *program, unsigned short instructions) {
        struct sock_fprog given = { instructions, (struct sock_filter *)program };
        return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &given);
    }
    static int drop_bounding(void) {
        for (unsigned long capability = 0; ; capability++)
            if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
                return errno == EINVAL && capability > 0 ? 0 : -1;  /* the first number this kernel does not know */
    }
    static int clear_all(void) {
        struct __user_cap_header_struct self = { _LINUX_CAPABILITY_VERSION_3, 0 };
        struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0, 0, 0 }, { 0, 0, 0 } };
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return -1;
        return (int)syscall(SYS_capset, &self, none);
    }
    static int no_new_privs(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }
    static int dumpable(unsigned long value) { return prctl(PR_SET_DUMPABLE, value, 0, 0, 0); }
    enum { INSTRUCTION = sizeof(struct sock_filter), INSTRUCTIONS_MAX = BPF_MAXINSNS };
    """
    int INSTRUCTION, INSTRUCTIONS_MAX
    int landlock_version()
    int create_ruleset(uint64_t, uint64_t, uint64_t)
    int allow_beneath(int, int, uint64_t)
    int restrict_self(int)
    int set_filter(const char*, unsigned short)
    int drop_bounding()
    int clear_all()
    int no_new_privs()
    int dumpable(unsigned long)


def no_new_privileges() -> None:
    """No execve gives this process, or any descendant, more rights than it has (setuid binaries, file capabilities)."""
    _check(no_new_privs())


def drop_bounding_set() -> None:
    """Take every capability out of the bounding set: no execve gives one back, not even to root. Needs CAP_SETPCAP."""
    _check(drop_bounding())


def clear_capabilities() -> None:
    """Give up every effective, permitted, inheritable and ambient capability. Works as any user."""
    _check(clear_all())


def set_dumpable(bint value) -> None:
    """Whether processes of the same user may look into this one through /proc and ptrace. execve sets it anew."""
    _check(dumpable(value))


def install_filter(bytes program) -> None:
    """Put a seccomp filter (classic BPF) on this thread and what descends from it, beside those it has already.

    Without the mitigation for speculative store bypass, which would slow the whole process. OSError (EACCES) unless
    `no_new_privileges` came before or the process has CAP_SYS_ADMIN; ValueError where `program` is no program.
    """
    cdef Py_ssize_t instructions = len(program) // INSTRUCTION
    if len(program) % INSTRUCTION or not 0 < instructions <= INSTRUCTIONS_MAX:
        raise ValueError(f"{len(program)} bytes are no filter: give 1 to {INSTRUCTIONS_MAX} instructions of 8 bytes")
    _check(set_filter(program, <unsigned short>instructions))


def landlock_abi() -> int:
    """The version of Landlock that this kernel offers; 0 where it offers none."""
    return landlock_version()


def landlock_ruleset(uint64_t fs, uint64_t net, uint64_t scoped) -> int:
    """A descriptor of a new ruleset, closed on execve, that denies these rights except where a rule allows them."""
    return _check(create_ruleset(fs, net, scoped))


def landlock_allow(int ruleset_fd, int path_fd, uint64_t access) -> None:
    """Allow file rights on what `path_fd` (O_PATH) names and beneath it."""
    _check(allow_beneath(ruleset_fd, path_fd, access))


def landlock_restrict(int ruleset_fd) -> None:
    """Hold this thread and what descends from it to the ruleset. Needs `no_new_privileges` or CAP_SYS_ADMIN before."""
    _check(restrict_self(ruleset_fd))


cdef int _check(int result) except -1:
    if result < 0:
        raise OSError(errno, os.strerror(errno))
    return result
