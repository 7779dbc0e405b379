/* How a runtime's process gets its environment's place in the region, over its channel to the Runtime API.

   It asks when it has answered an invocation and waits for the next. The answer's body is "index timeout_ns cpu_ns", and
   three descriptors come with it: the region, the eventfd that wakes the core, the log pipe. From then on nobody else
   takes invocations for this environment. Who cannot use them (it may have no descriptors left) asks for the next
   invocation on the channel after all, and is served there. */
#ifndef ENGINE_HAND_OVER_H
#define ENGINE_HAND_OVER_H

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "place.h"

enum { GIVEN_FDS = 3, REPLY_MAX = 4096 };

static inline int again(int fd, short events) {
    struct pollfd one = {fd, events, 0};
    return errno == EINTR || (errno == EAGAIN && poll(&one, 1, -1) >= 0);
}

static inline int say(int fd, const char *text, size_t length) {
    while (length) {
        ssize_t sent = send(fd, text, length, MSG_NOSIGNAL);
        if (sent > 0)
            text += sent, length -= (size_t)sent;
        else if (!again(fd, POLLOUT))
            return -1;
    }
    return 0;
}

/* One answer of the Runtime API, whole and with its end set to 0, and the descriptors that came with it: how many. */
static inline int hear(int fd, char *reply, int *given) {
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(GIVEN_FDS * sizeof(int))];
    } control;
    struct iovec room = {reply, REPLY_MAX - 1};
    struct msghdr message = {.msg_iov = &room, .msg_iovlen = 1, .msg_control = &control};
    message.msg_controllen = CMSG_LEN(GIVEN_FDS * sizeof(int));
    ssize_t got;
    while ((got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC)) < 0)
        if (!again(fd, POLLIN))
            break;
    reply[got > 0 ? got : 0] = 0;
    struct cmsghdr *first = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (first == NULL || first->cmsg_type != SCM_RIGHTS)
        return 0;
    int count = (int)((first->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(given, CMSG_DATA(first), (size_t)count * sizeof(int));
    return count;
}

/* Ask for the place, and take it. False where it is not given: the channel serves on. */
static inline int take_over(place_t *p, int channel_fd) {
    static const char ask[] = "GET /engine/place HTTP/1.1\r\nHost: runtime\r\n\r\n";
    char reply[REPLY_MAX];
    int given[GIVEN_FDS], index;
    uint64_t timeout_ns, cpu_ns;
    int count = say(channel_fd, ask, sizeof ask - 1) ? 0 : hear(channel_fd, reply, given);
    const char *body = count == GIVEN_FDS ? strstr(reply, "\r\n\r\n") : NULL;
    if (body && sscanf(body, "%d %" SCNu64 " %" SCNu64, &index, &timeout_ns, &cpu_ns) == 3) {
        char *base = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, given[0], 0);
        if (base != MAP_FAILED) {
            place_open(p, base, given[0], index, given[1], given[2], timeout_ns);
            p->init_cpu_ns = own_cpu_ns() - cpu_ns;
            prctl(PR_SET_PDEATHSIG, SIGKILL); /* who takes invocations for an environment ends with it */
            return 1;
        }
    }
    for (int i = 0; i < count; i++)
        close(given[i]);
    return 0;
}

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

/* Put an answer in its place and tell the core; an error with its type, NULL for a success. 0, or -errno. */
static inline int place_answer(place_t *p, const char *answer, size_t length, const char *type) {
    int is_too_large = !type && length > ANSWER_MAX;
    if (is_too_large)
        answer = TOO_LARGE_ANSWER, length = sizeof TOO_LARGE_ANSWER - 1, type = "Function.ResponseSizeTooLarge";
    size_t type_length = type ? strnlen(type, TYPE_MAX) : 0;
    length = length < ANSWER_MAX ? length : ANSWER_MAX;
    int failed = place_write(p, answer, length, type ? type : "", type_length);
    if (failed)
        return failed;
    place_end(p, length, type_length, type != NULL);
    sample_memory(p);
    sample_cpu(p);
    place_announce(p);
    return 0;
}

#endif
