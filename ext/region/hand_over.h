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

#endif
