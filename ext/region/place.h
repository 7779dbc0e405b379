/* One environment's place in its function's region: claim an invocation, put its answer back, say what both took.

   Shared by port.pyx and by the libraries that other languages load. One thread at a time. */
#ifndef ENGINE_PLACE_H
#define ENGINE_PLACE_H

#include <stdlib.h>
#include <string.h>

#include "queue.h"

enum {
    ANSWER_MAX = 6291556,
    HOT_GAP_NS = 200000,      /* invocations that follow each other faster than this are worth spinning for */
    SAMPLE_MEMORY_NS = 20000, /* how often peak memory and CPU time are read, at most */
    SAMPLE_CPU_NS = 1000000,
    LOG_LOOKS = 20000 /* about two seconds; the engine that takes longer for one read is as good as dead */
};

#define TOO_LARGE_KIND "Function.ResponseSizeTooLarge"
#define TOO_LARGE_BEYOND(bytes)                                                                                        \
    "{\"errorType\":\"" TOO_LARGE_KIND "\",\"errorMessage\":\"Response payload size exceeded maximum allowed payload "  \
    "size (" bytes " bytes).\"}"
#define TOO_LARGE_ANSWER TOO_LARGE_BEYOND("6291556")
#define STREAM_TOO_LARGE_ANSWER TOO_LARGE_BEYOND("209715200")

enum { TO_END = -1, NOTHING_YET = 0, TAKEN = 1 };

typedef struct {
    char *base;
    int index, event_fd, region_fd, log_fd;
    int slot;              /* of the invocation that is claimed, or -1 */
    uint64_t word;         /* of that slot, as it was claimed */
    uint64_t streamed;     /* bytes of its answer handed on so far; over FLOW_MAX where some were too many */
    uint64_t timeout_ns;
    uint64_t begun_ns;     /* when its time began to run, if that was before its event was asked for; or 0 */
    uint64_t ended_ns;     /* when the last one ended */
    uint64_t gap_ns;       /* running mean of the time between two */
    uint64_t sampled_ns, cpu_sampled_ns;
    uint64_t cpu_ns;       /* since init */
    uint64_t init_cpu_ns;  /* what init took of what `cpu_ns` counts from */
    uint32_t memory_kb;
} place_t;

static inline int is_our_region(const char *base) {
    const region_t *head = (const region_t *)base;
    return head->magic == REGION_MAGIC && head->abi == REGION_ABI;
}

static inline void place_open(place_t *p, char *base, int region_fd, int index, int event_fd, int log_fd,
                              uint64_t timeout_ns) {
    memset(p, 0, sizeof *p);
    p->base = base;
    p->region_fd = region_fd, p->index = index, p->event_fd = event_fd, p->log_fd = log_fd;
    p->timeout_ns = timeout_ns;
    p->slot = -1;
    p->gap_ns = HOT_GAP_NS;
}

static inline slot_t *place_slot(place_t *p) { return slot_at(p->base, p->slot); }

/* Claim an invocation that waits: TAKEN, NOTHING_YET, or TO_END where this environment is to end. */
static inline int place_take(place_t *p) {
    if (load32(&env_at(p->base, p->index)->retire))
        return TO_END;
    int index = claim_next(p->base, p->index, &p->word);
    if (index >= 0)
        p->slot = index;
    return index >= 0 ? TAKEN : NOTHING_YET;
}

/* After NOTHING_YET: spin or sleep until there may be something. */
static inline void place_wait(place_t *p) {
    if (p->gap_ns >= HOT_GAP_NS || !may_spin(p->base) || !spin_for_work(p->base, p->index))
        sleep_for_work(p->base, p->index);
}

/* Stamp the claim: when the invocation began, by CLOCK_MONOTONIC. */
static inline uint64_t place_start(place_t *p) {
    uint64_t now_ns = p->begun_ns ? p->begun_ns : monotonic_ns();
    place_slot(p)->claimed_ns = now_ns;
    p->streamed = 0;
    if (p->ended_ns) {
        uint64_t gap_ns = (p->gap_ns * 7 + now_ns - p->ended_ns) >> 3;
        p->gap_ns = gap_ns < HOT_GAP_NS * 2 ? gap_ns : HOT_GAP_NS * 2;
    }
    return now_ns;
}

/* How many bytes were ever written to the log pipe: see environment.pyx for the other half.

   The core may be preempted in the middle of a read, by this very process: then spinning would keep it out. */
static inline uint64_t log_position(place_t *p) {
    env_t *record = env_at(p->base, p->index);
    uint64_t before = 0;
    int64_t unread = 0;
    for (int tries = 0; tries < LOG_LOOKS; tries++) {
        before = load64(&record->log_read);
        unread = unread_bytes(p->log_fd);
        acquire_fence(); /* the kernel was asked before the second look */
        if (before == load64(&record->log_read) && !(before & 1))
            break;
        if (tries < 100)
            relax();
        else
            usleep(20);
    }
    return (before >> 1) + (unread > 0 ? (uint64_t)unread : 0);
}

/* Whether what was read at `*last_ns` is to be read again. */
static inline int is_due(const place_t *p, uint64_t *last_ns, uint64_t every_ns) {
    if (p->ended_ns - *last_ns < every_ns)
        return 0;
    *last_ns = p->ended_ns;
    return 1;
}

/* CPU time that this process had or wanted, in ns. */
static inline uint64_t own_cpu_ns(void) { return process_cpu_ns() + awaited_cpu_ns(); }

static inline void sample_memory(place_t *p) {
    if (is_due(p, &p->sampled_ns, SAMPLE_MEMORY_NS))
        p->memory_kb = peak_memory_kb();
}

static inline void sample_cpu(place_t *p) {
    if (is_due(p, &p->cpu_sampled_ns, SAMPLE_CPU_NS))
        p->cpu_ns = own_cpu_ns() - p->init_cpu_ns;
}

/* Write an answer that is not in the slot yet, and its error type, if any: 0, or -errno. */
static inline int place_write(place_t *p, const char *answer, size_t length, const char *type, size_t type_length) {
    slot_t *slot = place_slot(p);
    uint64_t offset = SPILL_OFFSET + (uint64_t)p->slot * SPAN;
    if (length + type_length <= INLINE_MAX) {
        memcpy(slot->body, answer, length);
        memcpy(slot->body + length, type, type_length);
        return 0;
    }
    int failed = write_all(p->region_fd, answer, length, offset);
    return failed ? failed : write_all(p->region_fd, type, type_length, offset + length);
}

/* The answer is written: say how long it is, and that this was the end. What it took is sampled after this. */
static inline void place_end(place_t *p, size_t length, size_t type_length, int is_error) {
    slot_t *slot = place_slot(p);
    p->begun_ns = 0;
    slot->out_len = (uint32_t)length;
    slot->out_type_len = (uint32_t)type_length;
    slot->out_flags = (is_error ? OUT_ERROR : 0) | (length + type_length > INLINE_MAX ? OUT_SPILLED : 0);
    slot->log_end = log_position(p);
    p->ended_ns = monotonic_ns();
}

/* Tell the core. */
static inline void place_announce(place_t *p) {
    slot_t *slot = place_slot(p);
    slot->memory_kb = p->memory_kb;
    slot->cpu_ns = p->cpu_ns;
    slot->done_ns = p->ended_ns;
    finish(p->base, p->index, p->slot, p->word, p->event_fd);
    p->slot = -1;
}

/* The last steps of an answer that is written, where this process is all that took time and memory for it. */
static inline void place_finish(place_t *p, size_t length, size_t type_length, int is_error) {
    place_end(p, length, type_length, is_error);
    sample_memory(p);
    sample_cpu(p);
    place_announce(p);
}

/* Whether more was handed on than an answer may have. */
static inline int is_too_much(const place_t *p) { return p->streamed > FLOW_MAX; }

/* The event of the invocation that was claimed, and what came beside it, `*length` and `*extra` bytes of it: in the slot,
   or in memory that `*copy` points to then, and that is the caller's to free. NULL, and errno, where it cannot be read. */
static inline const char *place_event(place_t *p, size_t *length, size_t *extra, char **copy) {
    slot_t *slot = place_slot(p);
    size_t total = (size_t)(*length = slot->in_len) + (*extra = slot->in_extra_len);
    *copy = NULL;
    if (!(slot->in_flags & IN_SPILLED) && total <= INLINE_MAX)
        return (const char *)slot->body;
    *copy = total <= SPAN ? malloc(total) : NULL;
    if (*copy && !read_all(p->region_fd, *copy, total, SPILL_OFFSET + (uint64_t)p->slot * SPAN))
        return *copy;
    free(*copy);
    *copy = NULL;
    return NULL;
}

/* When an invocation that began then times out, in ms since 1970. */
static inline uint64_t deadline_ms(const place_t *p, uint64_t start_ns) {
    return (wall_ns() + (start_ns + p->timeout_ns - monotonic_ns())) / 1000000;
}

/* Put an answer in its place and tell the core; an error with its type, NULL for a success, which one that is too large
   becomes an error of. 0, or -errno. */
static inline int place_answer(place_t *p, const char *answer, size_t length, const char *type) {
    if (!type && (length > ANSWER_MAX || is_too_much(p))) {
        answer = is_too_much(p) ? STREAM_TOO_LARGE_ANSWER : TOO_LARGE_ANSWER;
        length = strlen(answer);
        type = TOO_LARGE_KIND;
    }
    size_t type_length = type ? strnlen(type, TYPE_MAX) : 0;
    length = length < ANSWER_MAX ? length : ANSWER_MAX;
    int failed = place_write(p, answer, length, type ? type : "", type_length);
    if (failed)
        return failed;
    place_finish(p, length, type_length, type != NULL);
    return 0;
}

#endif
