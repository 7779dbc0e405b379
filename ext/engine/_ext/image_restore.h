/* Becoming the image: this process's memory is replaced by the template's, and it goes on where the template stood.
 *
 * First everything that can fail is done: the image is read and checked, its files are opened and compared with what the
 * template had, and the steps are written down. Up to there the process is unharmed and an error can be told. Then, with
 * signals blocked and on a stack of its own, `overwrite` takes the steps: no libc, no malloc, nothing but system calls
 * from this module's text, which lies in every child of the zygote at the same place. Its own data are in restorer_t,
 * far from every address of the image. A step that fails there ends the process.
 *
 * Every writable range is replaced, whoever dirtied it; a range that nobody may write is left alone where the blank has
 * the same one. */
#ifndef ENGINE_IMAGE_RESTORE_H
#define ENGINE_IMAGE_RESTORE_H

#include "engine/_ext/image.h"
#include "engine/_ext/image_capture.h"

#if IMAGE_SUPPORTED
#define STACK_BYTES 32768u
#define STEPS_MAX (2 * PIECES_MAX + VMAS_MAX)
#define RSEQ_SIGNATURE 0x53053053u
#define WIPE_ON_FORK 18
#define FIRST_PLACE (1ull << 33)
#define PLACES 64u                   /* how many places for restorer_t are tried, one for every 4 GiB */

extern const ptrdiff_t __rseq_offset __attribute__((weak));   /* of glibc 2.35 and later */
extern const unsigned int __rseq_size __attribute__((weak));

enum { UNMAP = 1, MAP, COPY, WIPE, PROTECT };

typedef struct { uint64_t start, length, offset; int32_t fd, flags; uint32_t kind, protection; } step_t;

/* What the restored process is told; it unmaps `bytes` from `place` on when it has read it. */
typedef struct { uint64_t place, bytes, message_bytes; char message[MESSAGE_MAX]; } leave_t;

typedef struct {
    header_t header;
    mappings_t mappings;
    uint64_t rseq, rseq_bytes;
    uint32_t steps, opened;
    int32_t image_fd, tid;
    failure_t *failure_ptr;
    int32_t fds[FILES_MAX];
    char stack[STACK_BYTES] __attribute__((aligned(64)));
    char window[65536];
    leave_t leave;
    step_t step_space[STEPS_MAX];
    char table[TABLE_MAX] __attribute__((aligned(64)));
    vma_t vma_space[VMAS_MAX];
    char names_space[NAMES_MAX];
} restorer_t;

static piece_t *pieces_of(restorer_t *r) { return (piece_t *)r->table; }
static file_t *files_of(restorer_t *r) { return (file_t *)(pieces_of(r) + r->header.pieces); }
static char *names_of(restorer_t *r) { return (char *)(files_of(r) + r->header.files); }

/* ---- after the last error that can be told ---- */

static inline __attribute__((always_inline, noreturn)) void die(void) {
    action_t plain = {0, 0, 0, 0};
    uint64_t none = 0;
    CALL(SYS_rt_sigaction, SIGABRT, &plain, 0, 8, 0, 0);
    CALL(SYS_rt_sigprocmask, SIG_SETMASK, &none, 0, 8, 0, 0);
    CALL(SYS_tgkill, CALL(SYS_getpid, 0, 0, 0, 0, 0, 0), CALL(SYS_gettid, 0, 0, 0, 0, 0, 0), SIGABRT, 0, 0, 0);
    __builtin_trap();   /* the first process of a PID namespace does not take SIGABRT from itself */
}

static inline __attribute__((always_inline)) void take_step(const step_t *step_ptr) {
    uint64_t start = step_ptr->start, length = step_ptr->length, offset = step_ptr->offset;
    if (step_ptr->kind == MAP) {
        long at = CALL(SYS_mmap, start, length, step_ptr->protection, step_ptr->flags, step_ptr->fd, offset);
        if ((uint64_t)at != start) die();
    } else if (step_ptr->kind == UNMAP) {
        if (CALL(SYS_munmap, start, length, 0, 0, 0, 0)) die();
    } else if (step_ptr->kind == PROTECT) {
        if (CALL(SYS_mprotect, start, length, step_ptr->protection, 0, 0, 0)) die();
    } else if (step_ptr->kind == WIPE) {
        if (CALL(SYS_madvise, start, length, WIPE_ON_FORK, 0, 0, 0)) die();
    } else {
        while (length) {
            long got = CALL(SYS_pread64, step_ptr->fd, start, length, offset, 0, 0);
            if (got <= 0) die();
            start += (uint64_t)got, offset += (uint64_t)got, length -= (uint64_t)got;
        }
    }
}

__attribute__((noinline, noreturn, used, optimize("no-tree-loop-distribute-patterns", "no-stack-protector")))
static void overwrite(restorer_t *r) {
    header_t *header_ptr = &r->header;
    uint32_t i;
    if ((uint64_t)CALL(SYS_brk, header_ptr->heap_end, 0, 0, 0, 0, 0) != header_ptr->heap_end) die();
    for (i = 0; i < r->steps; i++) take_step(r->step_space + i);
    *(volatile int32_t *)(header_ptr->thread_pointer + header_ptr->tid_offset) = r->tid;
    if (r->rseq && CALL(SYS_rseq, r->rseq, r->rseq_bytes, 0, RSEQ_SIGNATURE, 0, 0)) die();
    if (header_ptr->robust_list) CALL(SYS_set_robust_list, header_ptr->robust_list, header_ptr->robust_bytes, 0, 0, 0, 0);
    for (long number = 1; number <= SIGNALS; number++)
        if (number != SIGKILL && number != SIGSTOP)
            CALL(SYS_rt_sigaction, number, header_ptr->actions + number - 1, 0, 8, 0, 0);
    if (CALL(SYS_sigaltstack, &header_ptr->signal_stack, 0, 0, 0, 0, 0)) die();
    for (i = 0; i < header_ptr->files; i++)
        if (r->fds[i] >= 0) CALL(SYS_close, r->fds[i], 0, 0, 0, 0, 0);
    CALL(SYS_close, r->image_fd, 0, 0, 0, 0, 0);
    CALL(SYS_rt_sigprocmask, SIG_SETMASK, &header_ptr->signal_mask, 0, 8, 0, 0);
    go_on_at(&header_ptr->registers, (long)&r->leave);
}

/* ---- before it ---- */

static int is_sound_piece(restorer_t *r, const piece_t *piece_ptr, uint64_t after) {
    uint64_t length = piece_ptr->end - piece_ptr->start;
    if (piece_ptr->start < after || piece_ptr->end <= piece_ptr->start || piece_ptr->end > ADDRESS_MAX) return 0;
    if ((piece_ptr->start | piece_ptr->end | piece_ptr->offset) & (PAGE - 1) || piece_ptr->protection > 7) return 0;
    if ((piece_ptr->kind == FROM_FILE || piece_ptr->flags & IS_INHERITED) && piece_ptr->file >= r->header.files) return 0;
    if (piece_ptr->kind == FROM_FILE) return 1;
    if (piece_ptr->kind == ZERO || piece_ptr->kind == KERNEL) return 1;
    return (piece_ptr->kind == FROM_IMAGE || piece_ptr->kind == ON_STACK) && piece_ptr->offset >= HEADER_BYTES
        && piece_ptr->offset <= r->header.table_offset && length <= r->header.table_offset - piece_ptr->offset;
}

static int read_table(restorer_t *r) {
    header_t *header_ptr = &r->header;
    uint64_t bytes = header_ptr->pieces * sizeof(piece_t) + header_ptr->files * sizeof(file_t) + header_ptr->names_bytes;
    uint64_t after = PAGE;
    if (header_ptr->pieces > PIECES_MAX || header_ptr->files > FILES_MAX || header_ptr->names_bytes > NAMES_MAX
        || !header_ptr->names_bytes || header_ptr->table_offset > header_ptr->image_bytes
        || header_ptr->image_bytes - header_ptr->table_offset != bytes || header_ptr->stack_protection > 7
        || read_fully(r->image_fd, r->table, bytes, header_ptr->table_offset) || r->table[bytes - 1])
        return fail(r->failure_ptr, EINVAL, "the image's table cannot be read");
    for (uint32_t i = 0; i < header_ptr->pieces; i++) {
        if (!is_sound_piece(r, pieces_of(r) + i, after))
            return fail(r->failure_ptr, EINVAL, "piece %u of the image is no range of memory", i);
        after = pieces_of(r)[i].end;
    }
    for (uint32_t i = 0; i < header_ptr->files; i++)
        if (files_of(r)[i].name >= header_ptr->names_bytes)
            return fail(r->failure_ptr, EINVAL, "file %u of the image has no name", i);
    return 0;
}

static int read_header(restorer_t *r, const identity_t *identity_ptr) {
    header_t *header_ptr = &r->header;
    struct stat about;
    if (fstat(r->image_fd, &about)) return fail(r->failure_ptr, errno, "the image cannot be looked at");
    if (read_fully(r->image_fd, header_ptr, sizeof *header_ptr, 0) || header_ptr->magic != IMAGE_MAGIC)
        return fail(r->failure_ptr, EINVAL, "the file is no image of a process");
    if (memcmp(header_ptr->token, identity_ptr->token, sizeof header_ptr->token))
        return fail(r->failure_ptr, EXDEV, "the image was written by a process of another zygote");
    if (header_ptr->image_bytes > (uint64_t)about.st_size)
        return fail(r->failure_ptr, EINVAL, "the image has %llu bytes of %llu", (unsigned long long)about.st_size,
                    (unsigned long long)header_ptr->image_bytes);
    if (header_ptr->thread_pointer != identity_ptr->thread_pointer || header_ptr->tid_offset != identity_ptr->tid_offset)
        return fail(r->failure_ptr, EINVAL, "the image's thread is not where the zygote's is");
    return read_table(r);
}

static int read_statistics(int image_fd, header_t *header_ptr, failure_t *failure_ptr) {
    if (read_fully(image_fd, header_ptr, sizeof *header_ptr, 0) || header_ptr->magic != IMAGE_MAGIC)
        return fail(failure_ptr, EINVAL, "the file is no image of a process");
    return 0;
}

/* The blank's mapping that holds the whole of a piece; `*index_ptr` moves on with the pieces. */
static const vma_t *mapping_around(const mappings_t *found_ptr, uint32_t *index_ptr, const piece_t *piece_ptr) {
    while (*index_ptr < found_ptr->count && found_ptr->vmas[*index_ptr].end <= piece_ptr->start) ++*index_ptr;
    if (*index_ptr == found_ptr->count) return NULL;
    const vma_t *vma_ptr = found_ptr->vmas + *index_ptr;
    return vma_ptr->start <= piece_ptr->start && vma_ptr->end >= piece_ptr->end ? vma_ptr : NULL;
}

static int holds_the_same(restorer_t *r, const piece_t *piece_ptr) {
    for (uint64_t at = piece_ptr->start; at < piece_ptr->end;) {
        uint64_t length = piece_ptr->end - at > sizeof r->window ? sizeof r->window : piece_ptr->end - at;
        if (read_fully(r->image_fd, r->window, length, piece_ptr->offset + (at - piece_ptr->start))) return 0;
        if (memcmp((void *)at, r->window, length)) return 0;
        at += length;
    }
    return 1;
}

static int maps_the_same(restorer_t *r, const piece_t *piece_ptr, const vma_t *vma_ptr, uint64_t offset) {
    const file_t *file_ptr = files_of(r) + piece_ptr->file;
    return vma_ptr->device == file_ptr->mapped_device && vma_ptr->inode == file_ptr->mapped_inode
        && vma_ptr->offset + (piece_ptr->start - vma_ptr->start) == offset;
}

/* Whether the blank has this piece already, and nobody could have changed it. */
static int is_there(restorer_t *r, const piece_t *piece_ptr, const vma_t *vma_ptr) {
    if (piece_ptr->protection & PROT_WRITE || vma_ptr->protection != piece_ptr->protection) return 0;
    if (vma_ptr->shared != (piece_ptr->flags & IS_SHARED)) return 0;
    if (piece_ptr->kind == FROM_FILE) return maps_the_same(r, piece_ptr, vma_ptr, piece_ptr->offset);
    if (piece_ptr->flags & IS_INHERITED && maps_the_same(r, piece_ptr, vma_ptr, piece_ptr->inherited_at)) return 1;
    return piece_ptr->kind == FROM_IMAGE && !vma_ptr->shared && piece_ptr->protection & PROT_READ
        && holds_the_same(r, piece_ptr);
}

static int open_file(restorer_t *r, uint32_t index) {
    const file_t *file_ptr = files_of(r) + index;
    const char *name = names_of(r) + file_ptr->name;
    struct stat about;
    if (r->fds[index] >= 0) return 0;
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return fail(r->failure_ptr, errno, "%s, which init had mapped, cannot be opened", name);
    r->fds[index] = fd;
    if (fstat(fd, &about) || about.st_dev != file_ptr->device || about.st_ino != file_ptr->inode
        || (uint64_t)about.st_size != file_ptr->size || about.st_mtim.tv_sec != file_ptr->modified_s
        || about.st_mtim.tv_nsec != file_ptr->modified_ns)
        return fail(r->failure_ptr, ESTALE, "%s is not the file any more that init had mapped", name);
    return 0;
}

static void add_step(restorer_t *r, uint32_t kind, uint64_t start, uint64_t end, step_t more) {
    step_t *step_ptr = r->step_space + r->steps++;
    more.kind = kind, more.start = start, more.length = end - start;
    *step_ptr = more;
}

static int plan_piece(restorer_t *r, const piece_t *piece_ptr) {
    step_t step = {.protection = piece_ptr->protection, .offset = piece_ptr->offset, .fd = r->image_fd};
    step.flags = MAP_FIXED | (piece_ptr->flags & IS_SHARED ? MAP_SHARED : MAP_PRIVATE);
    if (piece_ptr->flags & IS_LEFT || piece_ptr->kind == KERNEL) return 0;
    if (piece_ptr->kind == ON_STACK) {
        add_step(r, COPY, piece_ptr->start, piece_ptr->end, step);
        return 0;
    }
    if (piece_ptr->kind == FROM_FILE) {
        if (open_file(r, piece_ptr->file)) return -1;
        step.fd = r->fds[piece_ptr->file];
    }
    if (piece_ptr->kind == ZERO) step.flags |= MAP_ANONYMOUS | MAP_NORESERVE, step.fd = -1, step.offset = 0;
    add_step(r, MAP, piece_ptr->start, piece_ptr->end, step);
    if (piece_ptr->flags & IS_WIPED) add_step(r, WIPE, piece_ptr->start, piece_ptr->end, step);
    return 0;
}

/* What of the blank lies between two pieces goes; its stack stays, grown as it may be, and so does restorer_t. */
static void plan_gap(restorer_t *r, uint32_t *index_ptr, uint64_t start, uint64_t end) {
    const mappings_t *found_ptr = &r->mappings;
    uint64_t place = r->leave.place, low = 0, high = 0;
    for (; *index_ptr < found_ptr->count && found_ptr->vmas[*index_ptr].start < end; ++*index_ptr) {
        const vma_t *vma_ptr = found_ptr->vmas + *index_ptr;
        const char *name = name_of(found_ptr, vma_ptr);
        uint64_t from = vma_ptr->start > start ? vma_ptr->start : start, to = vma_ptr->end < end ? vma_ptr->end : end;
        int stays = is_stack(name) || is_kernels(name) || (from >= place && from < place + r->leave.bytes);
        if (from < to && !stays) {
            if (!high) low = from;
            high = to;
        } else if (from < to && high) {
            add_step(r, UNMAP, low, high, (step_t){0});
            high = 0;
        }
        if (vma_ptr->end > end) break;
    }
    if (high) add_step(r, UNMAP, low, high, (step_t){0});
}

static int check_fixed(restorer_t *r, const piece_t *piece_ptr, const vma_t *vma_ptr) {
    const char *name = vma_ptr ? name_of(&r->mappings, vma_ptr) : "";
    if (piece_ptr->kind == KERNEL && !is_kernels(name))
        return fail(r->failure_ptr, EINVAL, "the kernel's own pages are not where the image has them");
    if (piece_ptr->kind == ON_STACK && r->header.stack_low != piece_ptr->start)
        return fail(r->failure_ptr, EINVAL, "the image has a stack that its header does not know");
    return 0;
}

static int check_stack(restorer_t *r) {
    for (uint32_t i = 0; i < r->mappings.count; i++) {
        const vma_t *vma_ptr = r->mappings.vmas + i;
        if (!is_stack(name_of(&r->mappings, vma_ptr)) || vma_ptr->end != r->header.stack_end) continue;
        if (vma_ptr->protection != r->header.stack_protection)
            add_step(r, PROTECT, vma_ptr->start, vma_ptr->end, (step_t){.protection = r->header.stack_protection});
        return 0;
    }
    return fail(r->failure_ptr, EINVAL, "the stack does not end where the image's does");
}

static int plan_steps(restorer_t *r) {
    piece_t *pieces = pieces_of(r);
    uint64_t after = 0;
    uint32_t index = 0, count = r->header.pieces;
    for (uint32_t i = 0; i <= count; i++) {
        uint64_t start = i < count ? pieces[i].start : ADDRESS_MAX;
        if (start > after) plan_gap(r, &index, after, start);
        if (i < count) after = pieces[i].end;
    }
    if (check_stack(r)) return -1;
    for (uint32_t i = index = 0; i < count; i++) {
        const vma_t *vma_ptr = mapping_around(&r->mappings, &index, pieces + i);
        if (check_fixed(r, pieces + i, vma_ptr)) return -1;
        pieces[i].flags &= (uint8_t)~IS_LEFT;
        if (vma_ptr && is_there(r, pieces + i, vma_ptr)) pieces[i].flags |= IS_LEFT;
        if (plan_piece(r, pieces + i)) return -1;
    }
    return 0;
}

/* A system that forbids executable memory of a memfd says so here, where it can still be told. */
static int check_executable(restorer_t *r) {
    for (uint32_t i = 0; i < r->header.pieces; i++) {
        const piece_t *piece_ptr = pieces_of(r) + i;
        if (piece_ptr->kind != FROM_IMAGE || !(piece_ptr->protection & PROT_EXEC) || piece_ptr->flags & IS_LEFT) continue;
        void *page = mmap(NULL, PAGE, piece_ptr->protection, MAP_PRIVATE, r->image_fd, (off_t)piece_ptr->offset);
        if (page == MAP_FAILED) return fail(r->failure_ptr, errno, "code cannot be run out of the image's file");
        munmap(page, PAGE);
        return 0;
    }
    return 0;
}

/* Wider registers that init asked the kernel for (AMX) must be asked for again. */
static int ask_for_registers(restorer_t *r) {
    uint64_t own = 0;
    if (!r->header.extended_state || syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &own)) own = r->header.extended_state;
    for (unsigned bit = 0; bit < 64; bit++)
        if (r->header.extended_state & ~own & (1ull << bit) && syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, bit))
            return fail(r->failure_ptr, errno, "the processor state %u that init asked for is refused here", bit);
    return 0;
}

/* The kernel writes to libc's rseq area whenever it likes: not while that memory is replaced. */
static int leave_rseq(restorer_t *r) {
    const long lengths[] = {32, &__rseq_size ? (long)((__rseq_size + 31) / 32 * 32) : 0};
    if (!&__rseq_size || !&__rseq_offset || !__rseq_size) return 0;
    r->rseq = r->header.thread_pointer + (uint64_t)__rseq_offset;
    for (int i = 0; i < 2; i++) {
        r->rseq_bytes = (uint64_t)lengths[i];
        if (!syscall(SYS_rseq, r->rseq, lengths[i], 1, RSEQ_SIGNATURE)) return 0;
    }
    return fail(r->failure_ptr, errno, "the thread's rseq area cannot be given back");
}

/* Memory for restorer_t where the image has none. */
static restorer_t *find_place(uint32_t place) {
    void *wanted = (void *)(FIRST_PLACE + ((uint64_t)place << 32));
    restorer_t *r = mmap(wanted, sizeof *r, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (r != MAP_FAILED && r != wanted) munmap(r, sizeof *r);
    return r == wanted ? r : NULL;
}

static int is_in_the_way(restorer_t *r) {
    uint64_t start = (uint64_t)r, end = start + sizeof *r;
    for (uint32_t i = 0; i < r->header.pieces; i++)
        if (pieces_of(r)[i].start < end && pieces_of(r)[i].end > start) return 1;
    return 0;
}

static restorer_t *read_image(int image_fd, const identity_t *identity_ptr, failure_t *failure_ptr) {
    for (uint32_t place = 0; place < PLACES; place++) {
        restorer_t *r = find_place(place);
        if (!r) continue;
        r->image_fd = image_fd;
        r->failure_ptr = failure_ptr;
        r->leave.place = (uint64_t)r;
        r->leave.bytes = (sizeof *r + PAGE - 1) / PAGE * PAGE;
        r->mappings.vmas = r->vma_space;
        r->mappings.names = r->names_space;
        for (uint32_t i = 0; i < FILES_MAX; i++) r->fds[i] = -1;
        int failed = read_header(r, identity_ptr);
        if (!failed && !is_in_the_way(r)) return r;
        munmap(r, sizeof *r);
        if (failed) return NULL;
    }
    fail(failure_ptr, ENOMEM, "no place for the image's table");
    return NULL;
}

/* Goes on as the image's process, which is told `message`; comes back only to tell why not. */
static int restore_image(
    int image_fd, const char *message, uint64_t message_bytes, const identity_t *identity_ptr, failure_t *failure_ptr
) {
    uint64_t all = ~0ull, before;
    restorer_t *r;
    if (stands_alone(identity_ptr, failure_ptr) || !(r = read_image(image_fd, identity_ptr, failure_ptr))) return -1;
    memcpy(r->leave.message, message, message_bytes);
    r->leave.message_bytes = message_bytes;
    r->tid = (int32_t)syscall(SYS_gettid);
    CALL(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8, 0, 0);
    if (!read_mappings("/proc/self/maps", &r->mappings, failure_ptr) && !plan_steps(r) && !check_executable(r)
        && !ask_for_registers(r) && !leave_rseq(r)) {
        __asm__ volatile("mov %0, %%rsp\n\t mov %1, %%rdi\n\t xor %%ebp, %%ebp\n\t call *%2\n\t ud2"
                         : : "r"(r->stack + STACK_BYTES), "r"(r), "r"(overwrite) : "memory", "rdi");
        __builtin_unreachable();
    }
    for (uint32_t i = 0; i < r->header.files; i++)
        if (r->fds[i] >= 0) close(r->fds[i]);
    CALL(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, 8, 0, 0);
    munmap(r, sizeof *r);
    return -1;
}
#endif
#endif
