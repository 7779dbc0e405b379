/* A process image: its layout in a file, the raw calls that write and read it, and the list of this process's mappings.
 *
 * Two processes forked from one exec'd parent (the zygote) share its address-space layout: the executable, libc,
 * libpython, the vdso, the start of heap and stack and the address of thread-local storage are the same. So one of them
 * (the template) can write its memory into a file (the image), and the other (the blank) can map that file over its own
 * memory, copy-on-write, and go on where the template stood. image_capture.h writes, image_restore.h maps.
 *
 * An image is a header of HEADER_BYTES, then pages, then a table: pieces in the order of their addresses, files, names.
 * A piece is a range of addresses with one source:
 *   FROM_IMAGE  pages of the image
 *   FROM_FILE   an unchanged range of a mapped file, which is opened again by its path
 *   ZERO        anonymous memory that nobody wrote to
 *   ON_STACK    the used part of the stack: copied, so that the stack stays the kernel's own and can grow
 *   KERNEL      vdso and its like: must lie in the blank where it lay in the template
 *
 * An image holds its function's own memory, and a blank that maps it has that function's rights only. So a forged image
 * can do nothing that the function could not do by itself; the checks here serve clear errors, not safety. */
#ifndef ENGINE_IMAGE_H
#define ENGINE_IMAGE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IMAGE_MAGIC 0x312d6567616d6945ull
#define PAGE 4096ull
#define HEADER_BYTES 8192ull
#define ADDRESS_MAX (1ull << 47)
#define VMAS_MAX 65536u               /* the kernel's own bound is 65,530 (vm.max_map_count) */
#define PIECES_MAX 65536u
#define FILES_MAX 1024u               /* distinct mapped files; more than a function may have open */
#define NAMES_MAX (1u << 20)
#define MESSAGE_MAX (1u << 20)
#define TABLE_MAX (PIECES_MAX * sizeof(piece_t) + FILES_MAX * sizeof(file_t) + NAMES_MAX)
#define SIGNALS 64
#define THREAD_ENDS_MS 100
#define NO_FILE 0xffffffffu

enum { FROM_IMAGE = 1, FROM_FILE, ZERO, ON_STACK, KERNEL };
/* Flags of pieces. IS_INHERITED: pages of the image that the template has as it was forked with them; `file` at
 * `inherited_at` is what is mapped there, by which a blank knows that it has the same. IS_LEFT is the restorer's: nothing
 * to do. */
enum { IS_SHARED = 1, IS_WIPED = 2, IS_LEFT = 4, IS_INHERITED = 8 };

typedef struct {
    uint64_t start, end, offset;   /* the offset is in the image or in the file */
    uint64_t inherited_at;
    uint32_t file;
    uint8_t kind, protection, flags, unused;
} piece_t;

typedef struct {
    uint64_t mapped_device, mapped_inode;   /* as /proc/self/maps tells them */
    uint64_t device, inode, size;           /* as fstat tells them */
    int64_t modified_s, modified_ns;
    uint32_t name, unused;                  /* where in the names its path begins; it ends with a zero byte */
} file_t;

typedef struct { uint64_t rbx, rbp, r12, r13, r14, r15, rsp, rip; uint32_t mxcsr, x87; } registers_t;

typedef struct { uint64_t handler, flags, restorer, mask; } action_t;   /* the kernel's struct sigaction */

typedef struct {
    uint64_t magic;
    uint8_t token[16];
    uint64_t image_bytes, data_bytes, table_offset;
    uint32_t pieces, files, names_bytes, stack_protection;
    uint64_t thread_pointer, tid_offset, heap_end, stack_low, stack_end, extended_state;
    uint64_t robust_list, robust_bytes;
    registers_t registers;
    uint64_t signal_mask;
    stack_t signal_stack;
    action_t actions[SIGNALS];
} header_t;

_Static_assert(sizeof(header_t) <= HEADER_BYTES, "the header outgrew its place");

/* What a zygote's children have in common, taken down once in the zygote. tid_offset: where in the thread descriptor
 * libc keeps the thread's id; 0 when it could not be found. */
typedef struct { uint8_t token[16]; uint64_t thread_pointer, tid_offset; } identity_t;

typedef struct {
    uint64_t start, end, offset, device, inode;
    uint64_t own_kb;           /* that were written to since the fork, or are swapped out; known from smaps alone */
    uint32_t name;             /* where in the names its path begins; NO_FILE without one */
    uint8_t protection, shared, copied, wiped, odd;
} vma_t;

typedef struct { vma_t *vmas; uint32_t count; char *names; uint32_t names_bytes; } mappings_t;

typedef struct { int code; char text[320]; } failure_t;

__attribute__((format(printf, 3, 4))) static int fail(failure_t *failure_ptr, int code, const char *format, ...) {
    va_list values;
    failure_ptr->code = code;
    va_start(values, format);
    vsnprintf(failure_ptr->text, sizeof failure_ptr->text, format, values);
    va_end(values);
    return -1;
}

#if defined(__x86_64__) && defined(__linux__)
#define IMAGE_SUPPORTED 1

/* A system call without libc: works while libc's own memory is being replaced. Returns -errno. */
static inline __attribute__((always_inline)) long raw_call(
    long number, long a, long b, long c, long d, long e, long f
) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#define CALL(number, a, b, c, d, e, f) \
    raw_call((number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline uint64_t thread_pointer(void) {
    uint64_t value;
    __asm__ volatile("mov %%fs:0, %0" : "=r"(value));
    return value;
}

/* Takes down where the caller stands; returns 0 now, and once more what go_on_at is given: like setjmp and longjmp, but
 * the place is plain numbers that mean the same in every child of a zygote. */
__attribute__((naked, noinline, returns_twice, unused)) static long stand_here(registers_t *place_ptr) {
    (void)place_ptr;
    __asm__ volatile(
        "endbr64\n\t"
        "mov %rbx, 0(%rdi)\n\t mov %rbp, 8(%rdi)\n\t mov %r12, 16(%rdi)\n\t mov %r13, 24(%rdi)\n\t"
        "mov %r14, 32(%rdi)\n\t mov %r15, 40(%rdi)\n\t"
        "lea 8(%rsp), %rax\n\t mov %rax, 48(%rdi)\n\t mov (%rsp), %rax\n\t mov %rax, 56(%rdi)\n\t"
        "stmxcsr 64(%rdi)\n\t fnstcw 68(%rdi)\n\t"
        "xor %eax, %eax\n\t ret");
}

__attribute__((naked, noinline, noreturn, unused)) static void go_on_at(const registers_t *place_ptr, long value) {
    (void)place_ptr, (void)value;
    __asm__ volatile(
        "mov 0(%rdi), %rbx\n\t mov 8(%rdi), %rbp\n\t mov 16(%rdi), %r12\n\t mov 24(%rdi), %r13\n\t"
        "mov 32(%rdi), %r14\n\t mov 40(%rdi), %r15\n\t"
        "ldmxcsr 64(%rdi)\n\t fldcw 68(%rdi)\n\t cld\n\t"
        "mov 48(%rdi), %rsp\n\t mov %rsi, %rax\n\t jmp *56(%rdi)");
}

/* Where libc keeps this thread's id. The kernel knows, because it clears that word when the thread ends; one built
 * without CONFIG_CHECKPOINT_RESTORE does not tell, so look for the one word of the descriptor that holds the id. */
static uint64_t find_tid_offset(uint64_t thread) {
    enum { DESCRIPTOR_BYTES = 2304 };
    int32_t own = (int32_t)syscall(SYS_gettid);
    uint64_t told = 0, found = 0;
    if (prctl(PR_GET_TID_ADDRESS, &told, 0, 0, 0) == 0 && told > thread && told < thread + DESCRIPTOR_BYTES
        && *(int32_t *)told == own)
        return told - thread;
    for (uint64_t offset = 64; offset < DESCRIPTOR_BYTES; offset += 4) {
        if (*(int32_t *)(thread + offset) != own) continue;
        if (found) return 0;
        found = offset;
    }
    return found;
}

static int identify(identity_t *identity_ptr) {
    identity_ptr->thread_pointer = thread_pointer();
    identity_ptr->tid_offset = find_tid_offset(identity_ptr->thread_pointer);
    return getrandom(identity_ptr->token, sizeof identity_ptr->token, 0) == (ssize_t)sizeof identity_ptr->token ? 0 : -1;
}

/* Whether this process has one thread, and is on the one that the zygote had. A thread that was joined is not quite gone
 * yet, so others are given a moment. */
static int stands_alone(const identity_t *identity_ptr, failure_t *failure_ptr) {
    struct stat task;
    int failed = stat("/proc/self/task", &task);
    for (int waited_ms = 0; !failed && task.st_nlink != 3 && waited_ms < THREAD_ENDS_MS; waited_ms++) {
        usleep(1000);
        failed = stat("/proc/self/task", &task);
    }
    if (failed) return fail(failure_ptr, errno, "/proc/self/task cannot be looked at");
    if (task.st_nlink != 3)
        return fail(failure_ptr, EBUSY, "the process has %lu threads, and an image holds one", (long)task.st_nlink - 2);
    if (!identity_ptr->tid_offset)
        return fail(failure_ptr, ENOTSUP, "where libc keeps the thread's id is not known");
    if (thread_pointer() != identity_ptr->thread_pointer)
        return fail(failure_ptr, EINVAL, "this is not the thread that the zygote was forked on");
    return 0;
}

/* One line of /proc/self/maps or smaps. 1 for a mapping, 0 for one of its attributes, -1 for neither. */
static int read_mapping_line(char *line, mappings_t *found_ptr) {
    char *at = line, *flags;
    vma_t *vma_ptr = found_ptr->vmas + found_ptr->count;
    if (!strncmp(line, "VmFlags:", 8) && found_ptr->count) {
        vma_ptr--;
        vma_ptr->copied = !strstr(line, " dc");
        vma_ptr->wiped = strstr(line, " wf") || strstr(line, " dp");
        vma_ptr->odd = strstr(line, " ht") || strstr(line, " ss") || strstr(line, " io") || strstr(line, " pf");
        return 0;
    }
    if (found_ptr->count && (!strncmp(line, "Private_Dirty:", 14) || !strncmp(line, "Swap:", 5)))
        vma_ptr[-1].own_kb += strtoull(strchr(line, ':') + 1, NULL, 10);
    if (*line >= 'A' && *line <= 'Z') return 0;
    if (found_ptr->count == VMAS_MAX) return -1;
    memset(vma_ptr, 0, sizeof *vma_ptr);
    vma_ptr->start = strtoull(at, &at, 16);
    if (*at++ != '-') return -1;
    vma_ptr->end = strtoull(at, &at, 16);
    flags = at + 1;
    vma_ptr->protection = (flags[0] == 'r' ? PROT_READ : 0) | (flags[1] == 'w' ? PROT_WRITE : 0)
        | (flags[2] == 'x' ? PROT_EXEC : 0);
    vma_ptr->shared = flags[3] == 's';
    vma_ptr->copied = 1;
    at = flags + 4;
    vma_ptr->offset = strtoull(at, &at, 16);
    vma_ptr->device = strtoull(at, &at, 16) << 32;
    vma_ptr->device |= strtoull(at + 1, &at, 16);
    vma_ptr->inode = strtoull(at, &at, 10);
    at += strspn(at, " ");
    vma_ptr->name = NO_FILE;
    if (*at) {
        uint32_t length = (uint32_t)strlen(at) + 1;
        if (found_ptr->names_bytes + length > NAMES_MAX) return -1;
        vma_ptr->name = found_ptr->names_bytes;
        memcpy(found_ptr->names + vma_ptr->name, at, length);
        found_ptr->names_bytes += length;
    }
    found_ptr->count++;
    return 1;
}

/* The mappings of this process, from /proc/self/smaps (with their flags) or /proc/self/maps. `vmas` and `names` have
 * room for VMAS_MAX and NAMES_MAX. Nothing may be mapped while it reads. */
static int read_mappings(const char *path, mappings_t *found_ptr, failure_t *failure_ptr) {
    char buffer[16384];
    size_t held = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC), bad = 0;
    if (fd < 0) return fail(failure_ptr, errno, "%s cannot be opened", path);
    found_ptr->count = found_ptr->names_bytes = 0;
    while (!bad) {
        ssize_t got = read(fd, buffer + held, sizeof buffer - held);
        char *line = buffer, *end;
        if (got <= 0) {
            bad = got < 0 || held;
            break;
        }
        held += (size_t)got;
        while (!bad && (end = memchr(line, '\n', held - (size_t)(line - buffer)))) {
            *end = 0;
            bad = read_mapping_line(line, found_ptr) < 0;
            line = end + 1;
        }
        held -= (size_t)(line - buffer);
        memmove(buffer, line, held);
        bad = bad || held == sizeof buffer;
    }
    close(fd);
    return bad ? fail(failure_ptr, E2BIG, "%s has too many mappings, or one that cannot be read", path) : 0;
}

static const char *name_of(const mappings_t *found_ptr, const vma_t *vma_ptr) {
    return vma_ptr->name == NO_FILE ? "" : found_ptr->names + vma_ptr->name;
}

static int is_stack(const char *name) { return !strcmp(name, "[stack]"); }

static int is_kernels(const char *name) {
    return *name == '[' && strcmp(name, "[heap]") && !is_stack(name) && strncmp(name, "[anon", 5);
}

static int read_fully(int fd, void *to, uint64_t length, uint64_t offset) {
    while (length) {
        ssize_t got = pread(fd, to, length, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return -1;
        to = (char *)to + got, length -= (uint64_t)got, offset += (uint64_t)got;
    }
    return 0;
}

#else
#define IMAGE_SUPPORTED 0
#endif
#endif
