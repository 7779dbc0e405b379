/* An answer that is handed on in pieces while the function runs, by whoever has the place. */
#ifndef ENGINE_STREAMING_H
#define ENGINE_STREAMING_H

#include <string.h>

#include "flow_ring.h"
#include "place.h"

enum { CONTENT_TYPE_MAX = 255 };

/* What follows is of this type, of which 255 bytes count. 0, or -errno. */
static inline int begin_streaming(place_t *p, const char *type, size_t length) {
    char head[CONTENT_TYPE_MAX + 1];
    length = length < CONTENT_TYPE_MAX ? length : CONTENT_TYPE_MAX;
    head[0] = (char)length;
    memcpy(head + 1, type, length);
    store32(&env_at(p->base, p->index)->flow_slot, (uint32_t)p->slot + 1);
    int64_t written = ring_write(p->region_fd, p->base, p->slot, head, length + 1);
    return written < 0 ? (int)written : 0;
}

/* Hand on as many bytes as there is room for: how many; 0 where it waited for room, or was woken by a signal; -errno. */
static inline int64_t hand_on(place_t *p, const char *piece, size_t length) {
    int64_t written = ring_write(p->region_fd, p->base, p->slot, piece, length);
    if (written > 0)
        flag_finished(p->base, p->index, p->event_fd);
    else if (written == 0)
        ring_wait(p->base, p->index, p->slot, length);
    return written;
}

/* The same for one of several pieces that are `*streamed` bytes so far; -E2BIG where it is too much in all. */
static inline int64_t hand_on_bounded(place_t *p, uint64_t *streamed, const char *piece, size_t length) {
    uint64_t room = FLOW_MAX - *streamed;
    if (room == 0 && length)
        return -E2BIG;
    int64_t written = hand_on(p, piece, length < room ? length : room);
    if (written > 0)
        *streamed += (uint64_t)written;
    return written;
}

#endif
