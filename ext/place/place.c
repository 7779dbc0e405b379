/* A place in the shared region for languages that call C as it is: Python's ctypes, Ruby's fiddle. One thread calls it. */
#define _GNU_SOURCE
#include "region/hand_over.h"
#include "region/streaming.h"
#include "region/uuid.h"

#define EXPORTED __attribute__((visibility("default")))

/* Of the invocation under way. What it points to lasts until the next one. */
typedef struct {
    const char *event, *beside;
    uint64_t event_length, beside_length;
    uint64_t deadline_ms; /* since 1970 */
    uint64_t is_streamed; /* whether whoever called reads the answer as it comes */
    char id[UUID_LENGTH], trace[TRACE_LENGTH];
} told_t;

static place_t place = {.slot = -1};
static char *spilled;

/* Whether this process has the place now. */
EXPORTED int take_place(int channel_fd) { return place.base == NULL && take_over(&place, channel_fd); }

/* Wait for an invocation: TAKEN, NOTHING_YET where it woke for another reason (a signal), TO_END, or -EIO. */
EXPORTED int next_invocation(told_t *told) {
    int taken = place_take(&place);
    if (taken == NOTHING_YET) {
        place_wait(&place);
        taken = place_take(&place);
    }
    if (taken != TAKEN)
        return taken;
    uint64_t start_ns = place_start(&place);
    size_t length, extra;
    free(spilled);
    told->event = place_event(&place, &length, &extra, &spilled);
    if (told->event == NULL)
        return -EIO;
    told->event_length = length, told->beside_length = extra;
    told->beside = told->event + length;
    told->deadline_ms = deadline_ms(&place, start_ns);
    told->is_streamed = (place_slot(&place)->in_flags & IN_STREAMED) != 0;
    write_uuid(place_slot(&place)->request_id, told->id);
    write_trace(place_slot(&place)->request_id, told->trace);
    return TAKEN;
}

/* End the invocation under way with an answer; or with an error, where there is a type. 0, or -errno. */
EXPORTED int put_answer(const char *answer, uint64_t length, const char *type) {
    return place.slot < 0 ? -EINVAL : place_answer(&place, answer, length, type);
}

/* What follows by `send_piece` is of this type. 0, or -errno. */
EXPORTED int begin_stream(const char *type, uint64_t length) { return begin_streaming(&place, type, length); }

/* Hand bytes to whoever reads: how many of them; 0 where it waited for room, or was woken by a signal; or -errno. */
EXPORTED int64_t send_piece(const char *piece, uint64_t length) { return hand_on(&place, piece, length); }
