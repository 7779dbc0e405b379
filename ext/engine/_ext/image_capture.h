/* Writing the image: what this process's memory holds that a blank could not find elsewhere.
 *
 * From stand_here on nothing may change the memory that is being written, so there is no malloc here: tables lie in a
 * range of their own that is no part of the image, and signals wait. Where an image stands in its own memory (a second
 * return from stand_here), everything of the writer's is gone but the stack: it returns at once.
 *
 * A page of a mapped file is written when it differs from the file, which also tells the pages that the loader changed
 * (relocations). Anonymous pages are written when they hold anything; without /proc/self/pagemap (a process that gave
 * its rights up may not open it) that means reading them all. */
#ifndef ENGINE_IMAGE_CAPTURE_H
#define ENGINE_IMAGE_CAPTURE_H

#include <malloc.h>

#include "engine/_ext/image.h"

#if IMAGE_SUPPORTED
#define GAP_PAGES 32u                /* clean pages between dirty ones that are written rather than mapped for themselves */
#define WINDOW_PAGES 64u             /* pages of a file, or entries of the page map, that are looked at in one step */
#define ARCH_GET_XCOMP_PERM 0x1022
#define ARCH_REQ_XCOMP_PERM 0x1023

enum { CAPTURED = 0, RESTORED = 1 };

typedef struct {
    header_t header;
    mappings_t mappings;
    piece_t *pieces;
    file_t *files;
    uint64_t written;                  /* the image's next free byte; a whole page */
    int image_fd, page_map_fd, source_fd;
    const char *own_folder;
    failure_t *failure_ptr;
    char window[WINDOW_PAGES * PAGE];
    vma_t vma_space[VMAS_MAX];
    char names_space[NAMES_MAX];
    piece_t piece_space[PIECES_MAX];
    file_t file_space[FILES_MAX];
} writer_t;

static int write_fully(int fd, const void *from, uint64_t length, uint64_t offset) {
    while (length) {
        ssize_t put = pwrite(fd, from, length, (off_t)offset);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return -1;
        from = (const char *)from + put, length -= (uint64_t)put, offset += (uint64_t)put;
    }
    return 0;
}

/* Whether no page of a mapping was written to since this process was forked, so that every blank has the same, if it was
 * mapped then at all. What is written to becomes a page of its own. */
static int is_inherited(const vma_t *vma_ptr) {
    return vma_ptr->inode && vma_ptr->name != NO_FILE && !vma_ptr->own_kb && !vma_ptr->shared
        && !(vma_ptr->protection & PROT_WRITE);
}

/* The file of a mapping in the table, by what the kernel calls it. One that is not there yet cannot be opened by its path:
 * a blank only ever compares it. NO_FILE when the table is full. */
static uint32_t file_of(writer_t *w, const vma_t *vma_ptr) {
    uint32_t count = w->header.files;
    for (uint32_t i = 0; i < count; i++)
        if (w->files[i].mapped_device == vma_ptr->device && w->files[i].mapped_inode == vma_ptr->inode) return i;
    if (count == FILES_MAX) return NO_FILE;
    w->files[count] = (file_t){
        .mapped_device = vma_ptr->device, .mapped_inode = vma_ptr->inode, .name = vma_ptr->name,
    };
    return w->header.files++;
}

/* Adds a piece, or lengthens the last one where both are one range of one source. */
static int add_piece(writer_t *w, int kind, const vma_t *vma_ptr, uint64_t start, uint64_t end, uint64_t offset, uint32_t file) {
    piece_t piece = {
        .start = start, .end = end, .offset = offset, .file = file, .kind = (uint8_t)kind,
        .protection = vma_ptr->protection, .flags = (vma_ptr->shared ? IS_SHARED : 0) | (vma_ptr->wiped ? IS_WIPED : 0),
    };
    if (kind == FROM_IMAGE && is_inherited(vma_ptr)) {
        piece.inherited_at = vma_ptr->offset + (start - vma_ptr->start);
        piece.file = file_of(w, vma_ptr);
        if (piece.file != NO_FILE) piece.flags |= IS_INHERITED;
    }
    if (w->header.pieces) {
        piece_t *last_ptr = w->pieces + w->header.pieces - 1;
        uint64_t last_bytes = last_ptr->end - last_ptr->start;
        int follows = (kind == ZERO || last_ptr->offset + last_bytes == offset)
            && (!(piece.flags & IS_INHERITED) || last_ptr->inherited_at + last_bytes == piece.inherited_at);
        if (last_ptr->end == start && last_ptr->kind == kind && last_ptr->protection == piece.protection
            && last_ptr->flags == piece.flags && last_ptr->file == piece.file && follows && kind != ON_STACK && kind != KERNEL) {
            last_ptr->end = end;
            return 0;
        }
    }
    if (w->header.pieces == PIECES_MAX)
        return fail(w->failure_ptr, E2BIG, "the memory is in more than %u pieces", PIECES_MAX);
    w->pieces[w->header.pieces++] = piece;
    return 0;
}

static int add_pages(writer_t *w, int kind, const vma_t *vma_ptr, uint64_t start, uint64_t end) {
    uint64_t offset = w->written;
    if (write_fully(w->image_fd, (void *)start, end - start, offset))
        return fail(w->failure_ptr, errno ? errno : EIO, "the image cannot be written: %s", strerror(errno));
    w->written += end - start;
    w->header.data_bytes += end - start;
    return add_piece(w, kind, vma_ptr, start, end, offset, NO_FILE);
}

/* Collects dirty pages into runs; what lies between runs is `between` (FROM_FILE or ZERO). */
typedef struct { const vma_t *vma_ptr; int between; uint32_t file; uint64_t done, start, end; } runs_t;

static int end_run(writer_t *w, runs_t *runs_ptr, uint64_t upto) {
    const vma_t *vma_ptr = runs_ptr->vma_ptr;
    uint64_t gap_end = runs_ptr->end ? runs_ptr->start : upto;
    if (gap_end > runs_ptr->done) {
        uint64_t offset = runs_ptr->between == FROM_FILE ? vma_ptr->offset + (runs_ptr->done - vma_ptr->start) : 0;
        if (add_piece(w, runs_ptr->between, vma_ptr, runs_ptr->done, gap_end, offset, runs_ptr->file)) return -1;
    }
    if (runs_ptr->end && add_pages(w, FROM_IMAGE, vma_ptr, runs_ptr->start, runs_ptr->end)) return -1;
    runs_ptr->done = runs_ptr->end ? runs_ptr->end : upto;
    runs_ptr->start = runs_ptr->end = 0;
    return 0;
}

static int add_dirty(writer_t *w, runs_t *runs_ptr, uint64_t page) {
    if (runs_ptr->end && page - runs_ptr->end > GAP_PAGES * PAGE && end_run(w, runs_ptr, page)) return -1;
    if (!runs_ptr->end) runs_ptr->start = page - runs_ptr->done <= GAP_PAGES * PAGE ? runs_ptr->done : page;
    runs_ptr->end = page + PAGE;
    return 0;
}

static int end_runs(writer_t *w, runs_t *runs_ptr) {
    uint64_t end = runs_ptr->vma_ptr->end;
    if (runs_ptr->end && end - runs_ptr->end <= GAP_PAGES * PAGE) runs_ptr->end = end;
    if (runs_ptr->end && end_run(w, runs_ptr, end)) return -1;
    return runs_ptr->done < end ? end_run(w, runs_ptr, end) : 0;
}

static int is_zero(uint64_t page) {
    const uint64_t *word_ptr = (const uint64_t *)page;
    for (int i = 0; i < 512; i += 8) {
        uint64_t any = 0;
        for (int j = 0; j < 8; j++) any |= word_ptr[i + j];
        if (any) return 0;
    }
    return 1;
}

/* Which of the `count` pages from `page` on hold memory: all, where it cannot be told. A page of a file that nobody
 * touched is not in the page map, but holds something. */
static void look_up_pages(writer_t *w, const vma_t *vma_ptr, uint64_t page, uint32_t count, uint64_t *entries) {
    if (vma_ptr->inode || w->page_map_fd < 0 || read_fully(w->page_map_fd, entries, count * 8, page / PAGE * 8))
        for (uint32_t i = 0; i < count; i++) entries[i] = ~0ull;
}

/* Whether there is anything at a page: behind the end of a mapped file there is not, and to look would be a SIGBUS. The
 * kernel looks; what it writes is written over. */
static int can_be_read(writer_t *w, uint64_t page) { return pwrite(w->image_fd, (void *)page, 1, (off_t)w->written) == 1; }

/* Memory that has no file that a blank could open: the pages that hold anything. */
static int write_anonymous(writer_t *w, const vma_t *vma_ptr) {
    runs_t runs = {.vma_ptr = vma_ptr, .between = ZERO, .file = NO_FILE, .done = vma_ptr->start};
    uint64_t entries[512], length = vma_ptr->end - vma_ptr->start;
    int hidden = !(vma_ptr->protection & PROT_READ), failed = 0;
    if (hidden && mprotect((void *)vma_ptr->start, length, PROT_READ))
        return fail(w->failure_ptr, errno, "memory without read permission cannot be read");
    for (uint64_t page = vma_ptr->start; page < vma_ptr->end && !failed;) {
        uint64_t left = (vma_ptr->end - page) / PAGE;
        uint32_t count = left > 512 ? 512 : (uint32_t)left;
        look_up_pages(w, vma_ptr, page, count, entries);
        for (uint32_t i = 0; i < count && !failed; i++, page += PAGE)
            if (entries[i] >> 62 && (!vma_ptr->inode || can_be_read(w, page)) && !is_zero(page)) failed = add_dirty(w, &runs, page);
    }
    failed = failed || end_runs(w, &runs);
    if (hidden) mprotect((void *)vma_ptr->start, length, vma_ptr->protection);
    return failed ? -1 : 0;
}

/* A private mapping of the file that is open at source_fd: the pages that differ from it. What lies behind the file's
 * end has no pages, in the template as in the blank. */
static int write_changed(writer_t *w, const vma_t *vma_ptr, uint32_t file) {
    runs_t runs = {.vma_ptr = vma_ptr, .between = FROM_FILE, .file = file, .done = vma_ptr->start};
    uint64_t size = w->files[file].size, end = vma_ptr->end;
    uint64_t there = size > vma_ptr->offset ? (size - vma_ptr->offset + PAGE - 1) / PAGE * PAGE : 0;
    if (end - vma_ptr->start > there) end = vma_ptr->start + there;
    if (!(vma_ptr->protection & PROT_READ)) end = vma_ptr->start;
    for (uint64_t page = vma_ptr->start; page < end;) {
        uint64_t length = end - page > sizeof w->window ? sizeof w->window : end - page, got = 0;
        while (got < length) {
            off_t at = (off_t)(vma_ptr->offset + (page - vma_ptr->start) + got);
            ssize_t more = pread(w->source_fd, w->window + got, length - got, at);
            if (more < 0) return fail(w->failure_ptr, errno, "a mapped file cannot be read: %s", strerror(errno));
            if (!more) break;
            got += (uint64_t)more;
        }
        memset(w->window + got, 0, length - got);
        for (uint64_t i = 0; i < length; i += PAGE, page += PAGE)
            if (memcmp((void *)page, w->window + i, PAGE) && add_dirty(w, &runs, page)) return -1;
    }
    return end_runs(w, &runs);
}

/* The file of a mapping, open at source_fd and in the table; NO_FILE when a blank could not find it by its path. */
static uint32_t open_source(writer_t *w, const vma_t *vma_ptr, const char *name) {
    struct stat about;
    file_t *file_ptr;
    w->source_fd = -1;
    if (*name != '/' || !vma_ptr->inode || !strncmp(name, w->own_folder, strlen(w->own_folder))) return NO_FILE;
    w->source_fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (w->source_fd < 0) return NO_FILE;
    if (fstat(w->source_fd, &about) || !S_ISREG(about.st_mode)) goto none;
    for (uint32_t i = 0; i < w->header.files; i++)
        if (w->files[i].mapped_device == vma_ptr->device && w->files[i].mapped_inode == vma_ptr->inode) {
            if (!strcmp(w->mappings.names + w->files[i].name, name)) return i;
        }
    if (w->header.files == FILES_MAX) goto none;
    file_ptr = w->files + w->header.files;
    *file_ptr = (file_t){
        .mapped_device = vma_ptr->device, .mapped_inode = vma_ptr->inode, .device = about.st_dev, .inode = about.st_ino,
        .size = (uint64_t)about.st_size, .modified_s = about.st_mtim.tv_sec, .modified_ns = about.st_mtim.tv_nsec,
        .name = vma_ptr->name,
    };
    return w->header.files++;
none:
    close(w->source_fd);
    w->source_fd = -1;
    return NO_FILE;
}

static int write_stack(writer_t *w, const vma_t *vma_ptr) {
    uint64_t low = (w->header.registers.rsp - 1024) & ~(PAGE - 1);
    if (low < vma_ptr->start || low >= vma_ptr->end) low = vma_ptr->start;
    w->header.stack_low = low;
    w->header.stack_end = vma_ptr->end;
    w->header.stack_protection = vma_ptr->protection;
    return add_pages(w, ON_STACK, vma_ptr, low, vma_ptr->end);
}

static int write_mapping(writer_t *w, const vma_t *vma_ptr) {
    const char *name = name_of(&w->mappings, vma_ptr);
    uint32_t file;
    int failed;
    if (vma_ptr->start >= ADDRESS_MAX || !vma_ptr->copied) return 0;
    if (is_kernels(name)) return add_piece(w, KERNEL, vma_ptr, vma_ptr->start, vma_ptr->end, 0, NO_FILE);
    if (is_stack(name)) return write_stack(w, vma_ptr);
    if (vma_ptr->odd)
        return fail(w->failure_ptr, ENOTSUP, "memory of a device, or in huge pages, cannot be kept: %s", name);
    if (vma_ptr->shared && vma_ptr->protection & PROT_WRITE)
        return fail(w->failure_ptr, EBUSY, "memory is shared and writable: %s", *name ? name : "anonymous");
    if (vma_ptr->wiped) return add_piece(w, ZERO, vma_ptr, vma_ptr->start, vma_ptr->end, 0, NO_FILE);
    file = open_source(w, vma_ptr, name);
    if (vma_ptr->shared) {
        failed = file == NO_FILE ? fail(w->failure_ptr, EBUSY, "memory is shared: %s", name)
            : add_piece(w, FROM_FILE, vma_ptr, vma_ptr->start, vma_ptr->end, vma_ptr->offset, file);
    } else {
        failed = file == NO_FILE ? write_anonymous(w, vma_ptr) : write_changed(w, vma_ptr, file);
    }
    if (w->source_fd >= 0) close(w->source_fd);
    return failed;
}

/* The kernel's side of the process, as far as a blank has it otherwise. */
static void take_down_state(writer_t *w) {
    header_t *header_ptr = &w->header;
    sigaltstack(NULL, &header_ptr->signal_stack);
    for (long number = 1; number <= SIGNALS; number++)
        CALL(SYS_rt_sigaction, number, 0, header_ptr->actions + number - 1, 8, 0, 0);
    header_ptr->heap_end = (uint64_t)CALL(SYS_brk, 0, 0, 0, 0, 0, 0);
    if (syscall(SYS_get_robust_list, 0, &header_ptr->robust_list, &header_ptr->robust_bytes)) header_ptr->robust_list = 0;
    if (syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &header_ptr->extended_state)) header_ptr->extended_state = 0;
}

static int write_table(writer_t *w) {
    header_t *header_ptr = &w->header;
    uint64_t at = header_ptr->table_offset = w->written;
    uint64_t pieces_bytes = header_ptr->pieces * sizeof(piece_t), files_bytes = header_ptr->files * sizeof(file_t);
    header_ptr->names_bytes = w->mappings.names_bytes;
    header_ptr->image_bytes = at + pieces_bytes + files_bytes + header_ptr->names_bytes;
    if (write_fully(w->image_fd, w->pieces, pieces_bytes, at)
        || write_fully(w->image_fd, w->files, files_bytes, at + pieces_bytes)
        || write_fully(w->image_fd, w->mappings.names, header_ptr->names_bytes, at + pieces_bytes + files_bytes)
        || write_fully(w->image_fd, header_ptr, sizeof *header_ptr, 0))
        return fail(w->failure_ptr, errno ? errno : EIO, "the image cannot be written: %s", strerror(errno));
    return 0;
}

/* noinline, and nothing of its own after stand_here but what it was given: it returns twice. */
static __attribute__((noinline)) long write_memory(writer_t *w) {
    long place = stand_here(&w->header.registers);
    if (place) return place;
    for (uint32_t i = 0; i < w->mappings.count; i++)
        if (write_mapping(w, w->mappings.vmas + i)) return -1;
    return write_table(w);
}

/* Writes the image of this process. 0: written. Below 0: not, and *failure_ptr says why. Above 0: this is a process that
 * was restored from the image; the value is the address of the restorer's leave_t. */
static long capture_image(int image_fd, const char *own_folder, const identity_t *identity_ptr, failure_t *failure_ptr) {
    uint64_t all = ~0ull, before;
    long outcome;
    writer_t *w;
    if (stands_alone(identity_ptr, failure_ptr)) return -1;
    malloc_trim(0);   /* free lists are settled here: each copy's first large malloc would go through all its memory */
    w = mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (w == MAP_FAILED) return fail(failure_ptr, errno, "no room for the image's tables");
    madvise(w, sizeof *w, MADV_DONTFORK);   /* so it is no part of the image */
    w->image_fd = image_fd;
    w->own_folder = own_folder;
    w->failure_ptr = failure_ptr;
    w->pieces = w->piece_space;
    w->files = w->file_space;
    w->mappings.vmas = w->vma_space;
    w->mappings.names = w->names_space;
    w->written = HEADER_BYTES;
    w->header.magic = IMAGE_MAGIC;
    memcpy(w->header.token, identity_ptr->token, sizeof w->header.token);
    w->header.thread_pointer = identity_ptr->thread_pointer;
    w->header.tid_offset = identity_ptr->tid_offset;
    CALL(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8, 0, 0);
    w->header.signal_mask = before;
    take_down_state(w);
    w->page_map_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    outcome = read_mappings("/proc/self/smaps", &w->mappings, failure_ptr) ? -1 : write_memory(w);
    if (outcome > 0) return outcome;
    if (w->page_map_fd >= 0) close(w->page_map_fd);
    CALL(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, 8, 0, 0);
    munmap(w, sizeof *w);
    return outcome;
}
#endif
#endif
