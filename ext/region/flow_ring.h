/* An environment's end of a streamed answer: the ring that flow_ring.pxd describes. */
#ifndef ENGINE_FLOW_RING_H
#define ENGINE_FLOW_RING_H

#include "queue.h"

enum { NAP_NS = 1000000000 };

/* Where a byte of a slot's stream lies in the region's file. */
static inline uint64_t ring_at_byte(int index, uint64_t position) {
    return SPILL_OFFSET + (uint64_t)index * SPAN + FLOW_OFFSET + (position & (FLOW_RING - 1));
}

/* Write as much as there is room for: how many bytes, or -errno. All of them where nobody reads any more. */
static inline int64_t ring_write(int region_fd, char *base, int index, const char *from, size_t length) {
    slot_t *slot = slot_at(base, index);
    uint64_t given = slot->flow_given;
    size_t room = FLOW_RING - (size_t)(given - load64(&slot->flow_taken));
    if (load32(&slot->flow_dropped))
        return (int64_t)length;
    length = length < room ? length : room;
    size_t to_end = (size_t)(FLOW_RING - (given & (FLOW_RING - 1))), first = length < to_end ? length : to_end;
    int failed = write_all(region_fd, from, first, ring_at_byte(index, given));
    if (!failed)
        failed = write_all(region_fd, from + first, length - first, ring_at_byte(index, given + first));
    if (failed)
        return failed;
    store64(&slot->flow_given, given + length);
    return (int64_t)length;
}

/* Sleep until there is room for so many bytes or for half of the ring. May return for no reason. */
static inline void ring_wait(char *base, int env, int index, size_t length) {
    slot_t *slot = slot_at(base, index);
    env_t *record = env_at(base, env);
    uint32_t bell = load32(&record->bell);
    uint32_t wanted = length < FLOW_RING / 2 ? (uint32_t)length : FLOW_RING / 2;
    store32(&slot->flow_wanted, wanted);
    fence();
    if (slot->flow_given + wanted > load64(&slot->flow_taken) + FLOW_RING && !load32(&slot->flow_dropped))
        futex_wait(&record->bell, bell, NAP_NS);
    store32(&slot->flow_wanted, 0);
}

#endif
