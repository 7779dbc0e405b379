/* The shared queue: what both ends have in common, and every step of an environment, whatever language it runs.
   The core's steps, and what each order of memory is for, are in queue.pxd. */
#ifndef ENGINE_QUEUE_H
#define ENGINE_QUEUE_H

#include "kernel.h"
#include "layout.h"

enum {
    NONE = -2,   /* nothing there */
    ILLEGAL = -1 /* the region holds what no honest environment writes */
};

static inline slot_t *slot_at(char *base, int index) {
    return (slot_t *)(base + SLOTS_OFFSET + (size_t)index * SLOT_STRIDE);
}

static inline env_t *env_at(char *base, int env) { return (env_t *)(base + ENVS_OFFSET + (size_t)env * sizeof(env_t)); }

static inline uint16_t *ring_at(char *base, int env) {
    return (uint16_t *)(base + RINGS_OFFSET) + (size_t)env * SLOTS;
}

static inline uint64_t *ready_at(char *base, uint64_t position) {
    return (uint64_t *)(base + READY_OFFSET) + (position & (READY_CAP - 1));
}

static inline uint64_t make_word(int phase, int owner, uint64_t generation) {
    return (uint64_t)phase << 56 | (uint64_t)owner << 40 | (generation & 0xFFFFFFFFFFu);
}

static inline int word_phase(uint64_t word) { return (int)(word >> 56); }
static inline int word_owner(uint64_t word) { return (int)(word >> 40 & 0xFFFF); }
static inline uint64_t word_generation(uint64_t word) { return word & 0xFFFFFFFFFFu; }

static inline int pop_ready(char *base) {
    region_t *head = (region_t *)base;
    for (int tries = 0; tries < 100000; tries++) {
        uint64_t position = load64(&head->ready_head);
        if (position == load64(&head->ready_tail))
            return NONE;
        uint64_t cell = load64(ready_at(base, position));
        if (cell >> 16 != (position & 0xFFFFFFFFFFFFu))
            relax();
        else if (cas64(&head->ready_head, position, position + 1))
            return (int)(cell & 0xFFFF);
    }
    return ILLEGAL;
}

/* Claim a slot whose word was `seen`. False when it was not READY, or is no longer what it was. */
static inline int claim_seen(char *base, int env, int index, uint64_t seen) {
    uint64_t claimed = make_word(CLAIMED, env, word_generation(seen));
    return word_phase(seen) == READY && cas64(&slot_at(base, index)->word, seen, claimed);
}

/* Claim the next slot that is READY; its index, NONE or ILLEGAL. */
static inline int claim_next(char *base, int env, uint64_t *claimed) {
    for (;;) {
        int index = pop_ready(base);
        if (index < 0)
            return index;
        if (index >= SLOTS)
            return ILLEGAL;
        uint64_t word = load64(&slot_at(base, index)->word);
        if (claim_seen(base, env, index, word)) {
            *claimed = make_word(CLAIMED, env, word_generation(word));
            return index;
        }
    }
}

static inline void flag_finished(char *base, int env, int event_fd) {
    region_t *head = (region_t *)base;
    or64(&head->finished[env >> 6], (uint64_t)1 << (env & 63));
    fence();
    if (load32(&head->core_asleep))
        ring_bell(event_fd);
}

static inline void mark_done(char *base, int env, int index, uint64_t word) {
    store64(&slot_at(base, index)->word, make_word(DONE, env, word_generation(word)));
}

static inline void append_done(char *base, int env, int index) {
    env_t *record = env_at(base, env);
    uint64_t tail = record->done_tail;
    store16(ring_at(base, env) + (tail & (SLOTS - 1)), (uint16_t)index);
    store64(&record->done_tail, tail + 1);
}

static inline void finish(char *base, int env, int index, uint64_t word, int event_fd) {
    mark_done(base, env, index, word);
    append_done(base, env, index);
    flag_finished(base, env, event_fd);
}

static inline int work_waits(char *base, int env) {
    region_t *head = (region_t *)base;
    return load64(&head->ready_tail) != load64(&head->ready_head) || load32(&env_at(base, env)->retire) != 0;
}

static inline int may_spin(char *base) {
    region_t *head = (region_t *)base;
    int limit = (int)load32(&head->spin_limit), spinning = 0;
    if (limit == 0 || load32(&head->spin_ns) == 0)
        return 0;
    for (int w = 0; w < ENV_WORDS; w++)
        spinning += count_bits(load64(&head->spinning[w]));
    return spinning < limit;
}

/* Look for work without sleeping, for the region's `spin_ns` at most. Whether there is some. */
static inline int spin_for_work(char *base, int env) {
    region_t *head = (region_t *)base;
    uint64_t bit = (uint64_t)1 << (env & 63), stop_ns = monotonic_ns() + load32(&head->spin_ns);
    int found = 0;
    or64(&head->spinning[env >> 6], bit);
    for (;;) {
        for (int look = 0; look < 32 && !(found = work_waits(base, env)); look++)
            relax();
        if (found || monotonic_ns() >= stop_ns)
            break;
        sched_yield(); /* whoever waits for this CPU, perhaps to bring that work, goes first */
    }
    and64(&head->spinning[env >> 6], ~bit);
    return found;
}

/* Sleep until the bell rings; returns at once when there is work already. May return for no reason. */
static inline void sleep_for_work(char *base, int env) {
    region_t *head = (region_t *)base;
    env_t *record = env_at(base, env);
    uint64_t bit = (uint64_t)1 << (env & 63);
    uint32_t bell = load32(&record->bell);
    or64(&head->sleeping[env >> 6], bit);
    fence();
    if (!work_waits(base, env))
        futex_wait(&record->bell, bell, -1);
    and64(&head->sleeping[env >> 6], ~bit);
}

#endif
