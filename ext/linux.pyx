"""Linux calls that Python's `os` does not offer, and the mapping of a shared region.

Everything here is set-up or tear-down; what the hot path calls is in kernel.pxd.
"""

import fcntl
import os

from libc.errno cimport errno
from libc.stdint cimport uint64_t
from engine._ext.layout cimport MAP_BYTES, REGION_ABI, REGION_BYTES, REGION_MAGIC, SLOTS

cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <fcntl.h>
    #include <linux/falloc.h>
    #include <malloc.h>
    #include <sys/mman.h>
    #include <sys/prctl.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    static int punch_hole(int fd, uint64_t offset, uint64_t length) {
        int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        return (int)syscall(SYS_fallocate, fd, mode, (off_t)offset, (off_t)length);
    }
    static void *map_region(int fd, size_t length) {
        void *base = mmap(0, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (base == MAP_FAILED) return 0;
        madvise(base, length, MADV_DONTFORK);
        return base;
    }
    #ifndef __GLIBC__
    static int malloc_trim(size_t kept) { return 0; }
    #endif
    static int flush_file_system(int fd) { return syncfs(fd); }
    static int process_option(int option, unsigned long value) { return prctl(option, value, 0, 0, 0); }
    """
    int PR_SET_PDEATHSIG
    int punch_hole(int, uint64_t, uint64_t)
    void* map_region(int, size_t)
    int munmap(void*, size_t)
    int process_option(int, unsigned long)
    int flush_file_system(int)
    int malloc_trim(size_t)

ABI = REGION_ABI
SLOT_COUNT = SLOTS
# How a formatted region begins.
HEAD = (<object>REGION_MAGIC).to_bytes(8, "little") + (<object>REGION_ABI).to_bytes(4, "little")


def create_region(str name) -> int:
    """A sealed memfd of a region's size; nothing is resident until touched. Raises OSError."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, REGION_BYTES)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(fd)
        raise
    return fd


def punch(int fd, uint64_t offset, uint64_t length) -> None:
    """Give the pages of a file range back. Raises OSError."""
    if punch_hole(fd, offset, length) != 0:
        raise OSError(errno, os.strerror(errno))


def trim_heap() -> None:
    """Settle malloc's lists of free memory, and give back what it can."""
    malloc_trim(0)


def flush(int fd) -> None:
    """Wait until everything that was written to the file system of `fd` is on disk (syncfs). Raises OSError."""
    cdef int failed
    with nogil:
        failed = flush_file_system(fd)
    if failed:
        raise OSError(errno, os.strerror(errno))


def die_with_parent(int signal_number) -> None:
    """Have the kernel send `signal_number` to this process when the thread that forked it ends."""
    if process_option(PR_SET_PDEATHSIG, signal_number) != 0:
        raise OSError(errno, os.strerror(errno))


cdef class Mapping:
    """The mapped part of a region (all but the spill space). Not inherited over fork."""

    def __cinit__(self, int fd):
        self.pid = os.getpid()
        self.base_ptr = <char*>map_region(fd, MAP_BYTES)
        if self.base_ptr == NULL:
            raise OSError(errno, "cannot map a function's shared region: " + os.strerror(errno))

    def __dealloc__(self):
        # In a process forked from ours the range was never mapped; something else may lie there by now.
        if self.base_ptr != NULL and self.pid == os.getpid():
            munmap(self.base_ptr, MAP_BYTES)

    def peek(self, size_t offset, size_t length) -> bytes:
        """Bytes of the region, for tests and post-mortems."""
        if offset + length > MAP_BYTES:
            raise ValueError(f"{offset}+{length} is outside the region's {MAP_BYTES} bytes")
        return self.base_ptr[offset:offset + length]

    def poke(self, size_t offset, bytes data) -> None:
        """Overwrite bytes of the region, for tests that play a hostile environment."""
        cdef size_t i
        cdef const unsigned char[::1] view = data
        if offset + len(data) > MAP_BYTES:
            raise ValueError(f"{offset}+{len(data)} is outside the region's {MAP_BYTES} bytes")
        for i in range(len(data)):
            self.base_ptr[offset + i] = <char>view[i]

    @property
    def length(self) -> int:
        return MAP_BYTES
