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

/* Hand on as many bytes as there is room for: how many; 0 where it waited for room, or was woken by a signal; -errno.
   What goes beyond FLOW_MAX in all is dropped: see `is_too_much`. */
static inline int64_t hand_on(place_t *p, const char *piece, size_t length) {
    uint64_t room = p->streamed < FLOW_MAX ? FLOW_MAX - p->streamed : 0;
    if (room == 0 && length) {
        p->streamed = (uint64_t)FLOW_MAX + 1;
        return (int64_t)length;
    }
    length = length < room ? length : room;
    int64_t written = ring_write(p->region_fd, p->base, p->slot, piece, length);
    if (written > 0) {
        p->streamed += (uint64_t)written;
        flag_finished(p->base, p->index, p->event_fd);
    } else if (written == 0) {
        ring_wait(p->base, p->index, p->slot, length);
    }
    return written;
}

#endif
