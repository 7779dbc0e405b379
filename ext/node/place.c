/* A place in the shared region for Node.js: see place.cjs. By Node-API, whose binary interface is the same in every
   version (https://nodejs.org/api/n-api.html); what is used of it is declared here, so that no header is needed.

   The event loop stands still while `take` waits, as the process does in Lambda, where it is frozen then. */
#define _GNU_SOURCE
#include <stdbool.h>

#include "region/hand_over.h"
#include "region/streaming.h"
#include "region/uuid.h"

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);
typedef int napi_status; /* 0: napi_ok */

napi_status napi_create_function(napi_env, const char *, size_t, napi_callback, void *, napi_value *);
napi_status napi_set_named_property(napi_env, napi_value, const char *, napi_value);
napi_status napi_get_cb_info(napi_env, napi_callback_info, size_t *, napi_value *, napi_value *, void **);
napi_status napi_get_value_int32(napi_env, napi_value, int32_t *);
napi_status napi_get_value_string_utf8(napi_env, napi_value, char *, size_t, size_t *);
napi_status napi_create_string_utf8(napi_env, const char *, size_t, napi_value *);
napi_status napi_create_string_latin1(napi_env, const char *, size_t, napi_value *);
napi_status napi_create_double(napi_env, double, napi_value *);
napi_status napi_get_buffer_info(napi_env, napi_value, void **, size_t *);
napi_status napi_get_boolean(napi_env, bool, napi_value *);
napi_status napi_throw_error(napi_env, const char *, const char *);

#define EXPORTED __attribute__((visibility("default")))
enum { TYPE_ROOM = TYPE_MAX + 4 }; /* a character of the type may be cut off at its end */

static place_t place = {.slot = -1};
static uint64_t start_ns;
static char *beside; /* what came with the event, and how many bytes of it */
static size_t beside_length;

static size_t arguments(napi_env env, napi_callback_info info, size_t most, napi_value *given) {
    size_t count = most;
    return napi_get_cb_info(env, info, &count, given, NULL, NULL) ? 0 : count;
}

/* open(channel descriptor): whether the place is this process's now. */
static napi_value open_place(napi_env env, napi_callback_info info) {
    napi_value given, result = NULL;
    int32_t fd = -1;
    if (arguments(env, info, 1, &given) == 1)
        napi_get_value_int32(env, given, &fd);
    napi_get_boolean(env, place.base == NULL && take_over(&place, fd), &result);
    return result;
}

/* Answers that are short are written where they belong, by Node itself. 0, or -errno. */
static int put_short(napi_env env, napi_value answer) {
    size_t length = 0;
    if (napi_get_value_string_utf8(env, answer, (char *)place_slot(&place)->body, INLINE_MAX, &length))
        return -EINVAL;
    if (length + 4 >= INLINE_MAX)
        return -E2BIG; /* perhaps it was cut off */
    place_finish(&place, length, 0, 0);
    return 0;
}

static int put_long(napi_env env, napi_value answer, const char *type) {
    size_t length = 0;
    if (napi_get_value_string_utf8(env, answer, NULL, 0, &length))
        return -EINVAL;
    char *text = malloc(length + 1);
    if (text == NULL)
        return -ENOMEM;
    napi_get_value_string_utf8(env, answer, text, length + 1, &length);
    int failed = place_answer(&place, text, length, type);
    free(text);
    return failed;
}

static int put_buffer(napi_env env, napi_value answer) {
    void *data;
    size_t length;
    return napi_get_buffer_info(env, answer, &data, &length) ? -EINVAL : place_answer(&place, data, length, NULL);
}

/* put(answer, error type): end the invocation under way. Without a type it has succeeded, and may be a buffer. */
static napi_value put(napi_env env, napi_callback_info info) {
    napi_value given[2];
    char type[TYPE_ROOM];
    size_t length = 0;
    arguments(env, info, 2, given);
    if (place.slot < 0) {
        napi_throw_error(env, NULL, "there is no invocation to answer");
        return NULL;
    }
    int has_type = !napi_get_value_string_utf8(env, given[1], type, sizeof type, &length);
    int failed = has_type || is_too_much(&place) ? -E2BIG : put_short(env, given[0]);
    if (failed == -E2BIG)
        failed = put_long(env, given[0], has_type ? type : NULL);
    if (failed == -EINVAL)
        failed = put_buffer(env, given[0]);
    if (failed)
        napi_throw_error(env, NULL, strerror(-failed));
    return NULL;
}

/* take(): wait for an invocation; its event. The process ends where there is none ever. */
static napi_value take(napi_env env, napi_callback_info info) {
    napi_value event = NULL;
    int taken;
    (void)info;
    if (place.base == NULL) {
        napi_throw_error(env, NULL, "this process has no place in the region");
        return NULL;
    }
    while ((taken = place_take(&place)) == NOTHING_YET)
        place_wait(&place);
    if (taken == TO_END)
        _exit(0);
    start_ns = place_start(&place);
    size_t length, extra;
    char *copy;
    const char *text = place_event(&place, &length, &extra, &copy);
    if (text == NULL) {
        napi_throw_error(env, NULL, "the event cannot be read from shared memory");
        return NULL;
    }
    free(beside);
    beside = extra ? malloc(extra) : NULL;
    beside_length = beside ? extra : 0;
    if (beside)
        memcpy(beside, text + length, extra);
    napi_create_string_utf8(env, text, length, &event);
    free(copy);
    return event;
}

/* What one of uuid.h's functions writes of the invocation under way; undefined where there is none. */
static napi_value text_by(napi_env env, void (*write_text)(const uint8_t *, char *), size_t length) {
    napi_value result = NULL;
    char text[TRACE_LENGTH];
    if (place.slot >= 0) {
        write_text(place_slot(&place)->request_id, text);
        napi_create_string_latin1(env, text, length, &result);
    }
    return result;
}

/* id(): of the invocation under way. */
static napi_value id(napi_env env, napi_callback_info info) {
    (void)info;
    return text_by(env, write_uuid, UUID_LENGTH);
}

/* trace(): its tracing header, where the caller sent none. */
static napi_value trace(napi_env env, napi_callback_info info) {
    (void)info;
    return text_by(env, write_trace, TRACE_LENGTH);
}

/* deadline(): when it times out, in ms since 1970. */
static napi_value deadline(napi_env env, napi_callback_info info) {
    napi_value result = NULL;
    (void)info;
    napi_create_double(env, (double)deadline_ms(&place, start_ns), &result);
    return result;
}

/* beside(): what came with its event, a JSON document, or undefined. */
static napi_value what_came_beside(napi_env env, napi_callback_info info) {
    napi_value result = NULL;
    (void)info;
    if (beside)
        napi_create_string_utf8(env, beside, beside_length, &result);
    return result;
}

/* streams(): whether whoever called reads the answer as it comes. */
static napi_value streams(napi_env env, napi_callback_info info) {
    napi_value result = NULL;
    (void)info;
    napi_get_boolean(env, place.slot >= 0 && place_slot(&place)->in_flags & IN_STREAMED, &result);
    return result;
}

/* begin(content type): what follows by `send` is of this type. */
static napi_value begin(napi_env env, napi_callback_info info) {
    napi_value given;
    char type[CONTENT_TYPE_MAX + 1];
    size_t length = 0;
    if (place.slot < 0 || arguments(env, info, 1, &given) != 1 ||
        napi_get_value_string_utf8(env, given, type, sizeof type, &length)) {
        napi_throw_error(env, NULL, "there is no answer to begin");
        return NULL;
    }
    int failed = begin_streaming(&place, type, length);
    if (failed)
        napi_throw_error(env, NULL, strerror(-failed));
    return NULL;
}

/* send(buffer): hand on all of it, and wait where there is no room. */
static napi_value send_piece(napi_env env, napi_callback_info info) {
    napi_value given;
    void *data;
    size_t length = 0, at = 0;
    int64_t written = 0;
    if (place.slot < 0 || arguments(env, info, 1, &given) != 1 || napi_get_buffer_info(env, given, &data, &length)) {
        napi_throw_error(env, NULL, "there is no answer under way");
        return NULL;
    }
    while (at < length && (written = hand_on(&place, (const char *)data + at, length - at)) >= 0)
        at += (size_t)written;
    if (written < 0)
        napi_throw_error(env, NULL, strerror((int)-written));
    return NULL;
}

EXPORTED napi_value napi_register_module_v1(napi_env env, napi_value exports) {
    static const struct {
        const char *name;
        napi_callback call;
    } all[] = {{"open", open_place}, {"put", put},           {"take", take},   {"id", id},
               {"trace", trace},     {"deadline", deadline}, {"beside", what_came_beside},
               {"streams", streams}, {"begin", begin},       {"send", send_piece}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        napi_value made;
        if (napi_create_function(env, all[i].name, (size_t)-1, all[i].call, NULL, &made) ||
            napi_set_named_property(env, exports, all[i].name, made))
            return NULL;
    }
    return exports;
}
