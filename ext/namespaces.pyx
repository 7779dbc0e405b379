"""Linux calls for namespaces and mounts, and the two processes that an environment is made of.

`bear` forks an *init* into new namespaces, which makes them its own, forks the environment, reaps what that leaves, and
ends with it. Without one in front, an environment would be process 1 of its PID namespace and could not die of its own
SIGKILL, SIGABRT or SIGTERM. The init is C alone: every page that Python would touch there would be a copy of the
zygote's, for as long as the environment lives.
"""

import os

from libc.errno cimport errno
from libc.stdint cimport uint64_t

cdef extern from "Python.h":
    void PyOS_BeforeFork()
    void PyOS_AfterFork_Parent()
    void PyOS_AfterFork_Child()

cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <errno.h>
    #include <fcntl.h>
    #include <net/if.h>
    #include <poll.h>
    #include <pthread.h>
    #include <sched.h>
    #include <signal.h>
    #include <stdint.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/ioctl.h>
    #include <sys/mman.h>
    #include <sys/mount.h>
    #include <sys/prctl.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <sys/wait.h>
    #include <unistd.h>

    #ifndef CLONE_PIDFD
    #define CLONE_PIDFD 0x00001000
    #endif
    #define INTO_CGROUP 0x200000000ULL
    struct clone3_arguments { /* linux/sched.h, up to the cgroup's descriptor: CLONE_ARGS_SIZE_VER2 */
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
        uint64_t set_tid, set_tid_size, cgroup;
    };
    /* clone(2) where clone3 is not needed: containers often filter that. */
    static long fork_into(uint64_t flags, int cgroup_fd, int *pidfd) {
        if (cgroup_fd < 0) return syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, 0, pidfd, 0, 0);
        struct clone3_arguments a = {.flags = flags | CLONE_PIDFD | INTO_CGROUP, .pidfd = (uint64_t)(uintptr_t)pidfd,
                                     .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup_fd};
        return syscall(SYS_clone3, &a, sizeof a);
    }
    static int swap_root(const char *root, const char *old) { return (int)syscall(SYS_pivot_root, root, old); }

    struct mount_attributes { uint64_t set, clear, propagation, userns_fd; }; /* linux/mount.h */
    #ifndef SYS_mount_setattr
    #define SYS_mount_setattr 442
    #endif
    #ifndef SYS_close_range
    #define SYS_close_range 436
    #endif
    static int set_attributes(const char *path, uint64_t set) {
        struct mount_attributes a = {.set = set};
        return (int)syscall(SYS_mount_setattr, AT_FDCWD, path, 0x8000 /* AT_RECURSIVE */, &a, sizeof a);
    }

    static int loopback_up(void) {
        struct ifreq request = {0};
        int failed, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0) return -1;
        strcpy(request.ifr_name, "lo");
        failed = ioctl(fd, SIOCGIFFLAGS, &request);
        request.ifr_flags |= IFF_UP;
        failed = failed || ioctl(fd, SIOCSIFFLAGS, &request);
        close(fd);
        return failed ? -1 : 0;
    }

    /* Without a PID namespace the kernel does not end what an environment left: kill all children until none is left.
       They are ours: this process adopts orphans. */
    static void end_orphans(void) {
        char path[64], list[4096], *at, *end;
        snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
        for (;;) {
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            ssize_t got = fd < 0 ? 0 : read(fd, list, sizeof list - 1);
            if (fd >= 0) close(fd);
            if (got <= 0) return;
            list[got] = 0;
            for (at = list; (end = strchr(at, ' ')) != 0; at = end + 1) kill((pid_t)atoi(at), SIGKILL);
            while (waitpid(-1, 0, __WALL) < 0 && errno == EINTR);
        }
    }
    static void default_signals(void) {
        for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    }
    static void close_between(unsigned low, unsigned high) { /* both ends stay */
        if (low + 1 >= high) return;
        if (syscall(SYS_close_range, low + 1, high - 1, 0) == 0) return;
        for (unsigned fd = low + 1; fd < high && fd < 4096; fd++) close((int)fd); /* before Linux 5.9 */
    }
    typedef struct {
        int control_fd, zygote_pidfd, entries[8], entries_count, alone, rooted;
        const char *hostname;
    } init_t;

    static void give_up(const init_t *init, const char *what) {
        char told[256];
        int length = snprintf(told, sizeof told, "F%s: %s", what, strerror(errno));
        if (send(init->control_fd, told, (size_t)length, MSG_NOSIGNAL) < 0) _exit(2);
        _exit(1);
    }
    static void write_file(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0) return;
        if (write(fd, text, strlen(text)) < 0) errno = 0; /* without the right to, it is merely the smallest process */
        close(fd);
    }
    /* Give back what the init has of the zygote's memory and never needs: it keeps its stack, its thread's own block,
       libc and this module. Every symbol was bound when that was loaded (setup.py): the linker's tables go too.
       Without this, each page that zygote and environment have both written to since the fork would live on here. */
    static void shed_memory(void) {
        char text[2048], here = 0;
        size_t held = 0;
        uintptr_t kept = 0;
        int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
        uintptr_t own[3] = {(uintptr_t)&here, (uintptr_t)&errno, (uintptr_t)pthread_self()};
        while (fd >= 0) {
            ssize_t got = read(fd, text + held, sizeof text - 1 - held);
            char *line = text, *end;
            if (got <= 0) break;
            text[held += (size_t)got] = 0;
            for (; (end = strchr(line, '\\n')) != 0; line = end + 1) {
                char *dash, *path;
                uintptr_t low = strtoul(line, &dash, 16), high = strtoul(dash + 1, &path, 16);
                int needed = path[2] != 'w' || path[4] != 'p';
                *end = 0;
                needed |= strstr(path, "libc.") != 0 || strstr(path, "/ld-") != 0 || strstr(path, "namespaces.") != 0;
                for (int i = 0; i < 3; i++) needed |= own[i] >= low && own[i] < high;
                needed |= low == kept && strchr(path, '/') == 0 && strchr(path, '[') == 0; /* a library's zeroed data */
                if (!needed) munmap((void *)low, high - low);
                if (needed && path[2] == 'w') kept = high;
            }
            held -= (size_t)(line - text);
            memmove(text, line, held);
        }
        if (fd >= 0) close(fd);
    }
    /* In the init: returns in the environment alone. */
    static void be_init(const init_t *init) {
        char told[5] = {'S'};
        struct pollfd zygote = {init->zygote_pidfd, POLLIN, 0};
        int status = SIGKILL, alone, control_fd;
        pid_t child, ended;
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (poll(&zygote, 1, 0) > 0) _exit(1);
        for (int i = 0; i < init->entries_count; i++)
            if (write(init->entries[i], "0", 1) < 0) give_up(init, "enter a cell");
        signal(SIGCHLD, SIG_DFL); /* the zygote waits for nobody */
        if (!init->alone) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        if (init->rooted && mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2"))
            give_up(init, "mount /proc");
        if (init->hostname[0] && sethostname(init->hostname, strlen(init->hostname))) give_up(init, "set the hostname");
        child = fork();
        if (child < 0) give_up(init, "fork");
        if (child == 0) return; /* with Python's signal handling as it was: SIGPIPE stays ignored */
        default_signals();
        write_file("/proc/self/oom_score_adj", "-1000"); /* the function goes first, its init never */
        close_between(2, (unsigned)init->control_fd);
        close_between((unsigned)init->control_fd, ~0u);
        alone = init->alone; /* what follows is not on the heap */
        control_fd = init->control_fd;
        shed_memory();
        do ended = waitpid(-1, &status, __WALL);
        while (ended != child && (ended >= 0 || errno == EINTR));
        memcpy(told + 1, &status, 4);
        if (send(control_fd, told, sizeof told, MSG_NOSIGNAL) < 0) status = 0; /* the engine is gone, and so are we */
        if (!alone) end_orphans();
        _exit(0);
    }
    """
    enum:
        CLONE_NEWCGROUP
        CLONE_NEWIPC
        CLONE_NEWNET
        CLONE_NEWNS
        CLONE_NEWPID
        CLONE_NEWUSER
        CLONE_NEWUTS
        MS_BIND
        MS_NODEV
        MS_NOEXEC
        MS_NOSUID
        MS_RDONLY
        MS_REC
        MS_REMOUNT
        MS_SLAVE
        MNT_DETACH
    long fork_into(uint64_t, int, int*)
    int swap_root(const char*, const char*)
    int set_attributes(const char*, uint64_t)
    int loopback_up()
    ctypedef struct init_t:
        int control_fd, zygote_pidfd, entries_count, alone, rooted
        int entries[8]
        const char* hostname
    void be_init(const init_t*)
    int c_unshare "unshare"(int)
    int c_setns "setns"(int, int)
    int c_mount "mount"(const char*, const char*, const char*, unsigned long, const void*)
    int c_umount "umount2"(const char*, int)
    int c_sethostname "sethostname"(const char*, size_t)

NEWIPC = CLONE_NEWIPC
NEWNET = CLONE_NEWNET
NEWNS = CLONE_NEWNS
NEWPID = CLONE_NEWPID
NEWUSER = CLONE_NEWUSER
NEWUTS = CLONE_NEWUTS
BIND = MS_BIND
NODEV = MS_NODEV
NOEXEC = MS_NOEXEC
NOSUID = MS_NOSUID
READ_ONLY = MS_RDONLY
RECURSIVE = MS_REC
REMOUNT = MS_REMOUNT
SLAVE = MS_SLAVE


cdef int check(long result, str what) except -1:
    if result < 0:
        raise OSError(errno, f"{what}: {os.strerror(errno)}")
    return 0


def bear(uint64_t flags, int cgroup_fd, int control_fd, tuple entries, int zygote_pidfd, *, bint alone, bint rooted,
         str hostname) -> tuple:
    """Fork an init into new namespaces, and it an environment: (the init's pid, its pidfd). (0, -1) in the environment.

    What goes wrong is said on `control_fd` (b"F" and text), and so is the environment's wait status in the end (b"S").
    cgroup_fd: a v2 directory to be born in, or -1; entries: descriptors to write b"0" into. alone: the init is the
    first process of a PID namespace, with which all others end; rooted: it mounts its /proc. hostname: "" leaves it.
    Only for processes with one thread. Raises OSError.
    """
    cdef init_t init
    cdef int pidfd = -1, i, failed
    cdef long pid
    cdef bytes name = hostname.encode()
    if len(entries) > 8:
        raise ValueError(f"{len(entries)} entries are more than 8")
    init.control_fd, init.zygote_pidfd, init.entries_count = control_fd, zygote_pidfd, <int>len(entries)
    for i in range(init.entries_count):
        init.entries[i] = entries[i]
    init.alone, init.rooted, init.hostname = alone, rooted, name
    PyOS_BeforeFork()
    pid = fork_into(flags, cgroup_fd, &pidfd)
    failed = errno
    if pid == 0:
        be_init(&init)
        PyOS_AfterFork_Child()
        return 0, -1
    PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(failed, f"a process in new namespaces: {os.strerror(failed)}")
    return pid, pidfd


def unshare(int flags) -> None:
    """Leave namespaces for new ones. Raises OSError."""
    check(c_unshare(flags), "unshare")


def enter(int namespace_fd, int kind) -> None:
    """Enter a namespace. Raises OSError."""
    check(c_setns(namespace_fd, kind), "setns")


def mount(str source, str target, str kind, unsigned long flags, str data="") -> None:
    """mount(2). Raises OSError that names source and target."""
    cdef bytes from_where = os.fsencode(source), to_where = os.fsencode(target), of_kind = kind.encode()
    cdef bytes options = data.encode()
    check(c_mount(from_where, to_where, of_kind, flags, <const char*>options), f"mount {kind} {source} on {target}")


def protect(str path, *, bint read_only) -> None:
    """Have a mount, and those below it, ignore set-uid bits and devices; read_only: writes too. Raises OSError."""
    check(set_attributes(os.fsencode(path), MS_NOSUID | MS_NODEV | (MS_RDONLY if read_only else 0)), f"protect {path}")


def unmount(str target) -> None:
    """Detach a mount and all below it. Raises OSError."""
    check(c_umount(os.fsencode(target), MNT_DETACH), f"unmount {target}")


def pivot(str root, str old) -> None:
    """Make `root` the root directory and put the old one on `old`. Raises OSError."""
    check(swap_root(os.fsencode(root), os.fsencode(old)), f"pivot_root {root}")


def set_hostname(str name) -> None:
    """Raises OSError."""
    cdef bytes text = name.encode()
    check(c_sethostname(text, len(text)), "sethostname")


def bring_up_loopback() -> None:
    """Have 127.0.0.1 in this network namespace. Raises OSError."""
    check(loopback_up(), "bring up the loopback interface")
