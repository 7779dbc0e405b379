/* The few Linux calls that the hot path makes. Set-up calls are in linux.pyx. */
#ifndef ENGINE_KERNEL_H
#define ENGINE_KERNEL_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t clock_ns(clockid_t which) {
    struct timespec t;
    clock_gettime(which, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static inline uint64_t monotonic_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
static inline uint64_t wall_ns(void) { return clock_ns(CLOCK_REALTIME); }
static inline uint64_t process_cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

/* What the first thread waited for a CPU, the second number of schedstat; 0 where that cannot be read. */
static inline uint64_t awaited_cpu_ns(void) {
    char text[96];
    int fd = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    uint64_t waited = 0;
    if (fd >= 0) close(fd);
    if (got <= 0) return 0;
    text[got] = 0;
    return sscanf(text, "%*u %" SCNu64, &waited) == 1 ? waited : 0;
}

/* Shared futexes: the word lies in a memfd mapped by two processes. */
static inline int futex_wait(uint32_t *word, uint32_t value, int64_t timeout_ns) {
    struct timespec t = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    return syscall(SYS_futex, word, FUTEX_WAIT, value, timeout_ns < 0 ? (void *)0 : &t, (void *)0, 0) ? -errno : 0;
}
static inline int futex_wake(uint32_t *word, int count) {
    return syscall(SYS_futex, word, FUTEX_WAKE, count, (void *)0, (void *)0, 0);
}
static inline int ring_bell(int event_fd) {
    uint64_t one = 1;
    return write(event_fd, &one, 8) == 8 ? 0 : -errno;
}
static inline int64_t unread_bytes(int fd) {
    int count = 0;
    return ioctl(fd, FIONREAD, &count) ? -errno : count;
}
static inline uint32_t peak_memory_kb(void) {
    struct rusage own;
    getrusage(RUSAGE_SELF, &own);
    return (uint32_t)own.ru_maxrss;
}

/* Whole-buffer file I/O on the spill space of a region: 0, or -errno. */
static inline int read_all(int fd, char *to, size_t length, uint64_t offset) {
    while (length) {
        ssize_t n = pread(fd, to, length, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n ? -errno : -EIO;
        to += n; offset += n; length -= n;
    }
    return 0;
}
static inline int write_all(int fd, const char *from, size_t length, uint64_t offset) {
    while (length) {
        ssize_t n = pwrite(fd, from, length, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n ? -errno : -EIO;
        from += n; offset += n; length -= n;
    }
    return 0;
}

#endif
