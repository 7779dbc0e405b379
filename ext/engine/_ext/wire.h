/* MessagePack-RPC as it comes off a socket: where a message ends, and what its head says. No Python, no memory of its
 * own, nothing but reads within the bounds given: so that a fuzzer can hold it against the sanitizers alone.
 *
 * `wire_scan` finds the end of one message in a buffer that grows: it remembers where it stands, so that a message that
 * comes in many pieces is looked at once. It keeps what is still to come of each open array or map on a small stack, and
 * refuses at once what cannot become a message: a byte that MessagePack does not have, nesting deeper than WIRE_DEPTH,
 * more than WIRE_MOST bytes, or a first byte that opens neither a request nor a notification.
 * `wire_parse` and `wire_parse_invoke` read a whole message; on a part of one they tell how far its head can be read.
 *
 * Format: https://github.com/msgpack/msgpack/blob/master/spec.md and .../msgpack-rpc/msgpack-rpc/blob/master/spec.md */
#ifndef ENGINE_WIRE_H
#define ENGINE_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    WIRE_DEPTH = 32,             /* arrays and maps within each other, the message's own array included */
    WIRE_MOST = 8 * 1024 * 1024, /* bytes of one message */

    WIRE_REQUEST = 0,
    WIRE_NOTIFICATION = 2,

    WIRE_MALFORMED = -1, /* not MessagePack, or not MessagePack-RPC */
    WIRE_TOO_DEEP = -2,
    WIRE_TOO_LONG = -3,
    WIRE_ARITY = -4,     /* parameters are no array, or of another length than the method takes */
    WIRE_TYPE = -5       /* a parameter of a type that the method does not take */
};

typedef struct {
    uint64_t at;               /* where the next object begins, counted from the message's first byte */
    uint32_t depth;            /* open arrays and maps */
    uint32_t left[WIRE_DEPTH]; /* objects still to come in each */
} wire_scan_t;

typedef struct {
    const uint8_t *at;
    size_t length;
} wire_text_t;

typedef struct {
    int kind;      /* WIRE_REQUEST or WIRE_NOTIFICATION */
    int has_id;
    uint32_t id;
    wire_text_t method;
    wire_text_t params; /* the whole object, its head included */
} wire_message_t;

typedef struct {
    wire_text_t function;
    wire_text_t payload; /* at == NULL: nil */
    wire_text_t options; /* a whole object; at == NULL: none or nil */
} wire_invoke_t;

/* What the first bytes of an object say. */
typedef struct {
    enum { WIRE_PLAIN, WIRE_STR, WIRE_BIN, WIRE_ARRAY, WIRE_MAP, WIRE_UINT, WIRE_NIL } type;
    uint32_t head;   /* bytes of the head */
    uint64_t body;   /* bytes that follow it: of str, bin, ext */
    uint64_t value;  /* objects that follow of an array or a map (two for each pair); an unsigned integer's value */
} wire_head_t;

static inline uint64_t wire_number(const uint8_t *p, int bytes) {
    uint64_t number = 0;
    while (bytes--) number = number << 8 | *p++;
    return number;
}

static inline int wire_set(wire_head_t *head, int type, uint32_t bytes, uint64_t body, uint64_t value) {
    head->type = type;
    head->head = bytes;
    head->body = body;
    head->value = value;
    return 1;
}

/* 1, 0 when more bytes are needed, or WIRE_MALFORMED. */
static inline int wire_head(const uint8_t *p, size_t length, wire_head_t *head) {
    static const uint8_t sizes[32] = {
        /* c0 nil, never used, false, true; bin 8 16 32; ext 8 16 32 */ 0, 0, 0, 0, 1, 2, 4, 1, 2, 4,
        /* ca float 32 64; uint 8 16 32 64; int 8 16 32 64 */ 4, 8, 1, 2, 4, 8, 1, 2, 4, 8,
        /* d4 fixext 1 2 4 8 16; str 8 16 32; array 16 32; map 16 32 */ 1, 1, 1, 1, 1, 1, 2, 4, 2, 4, 2, 4};
    uint8_t first;
    uint64_t number;
    int size;
    if (length == 0) return 0;
    first = p[0];
    if (first < 0x80) return wire_set(head, WIRE_UINT, 1, 0, first);
    if (first < 0x90) return wire_set(head, WIRE_MAP, 1, 0, 2 * (first & 15));
    if (first < 0xa0) return wire_set(head, WIRE_ARRAY, 1, 0, first & 15);
    if (first < 0xc0) return wire_set(head, WIRE_STR, 1, first & 31, 0);
    if (first >= 0xe0) return wire_set(head, WIRE_PLAIN, 1, 0, 0);
    if (first == 0xc1) return WIRE_MALFORMED;
    size = sizes[first - 0xc0];
    if (length < 1 + (size_t)size) return 0;
    number = wire_number(p + 1, size);
    switch (first) {
        case 0xc0: return wire_set(head, WIRE_NIL, 1, 0, 0);
        case 0xc4: case 0xc5: case 0xc6: return wire_set(head, WIRE_BIN, 1 + size, number, 0);
        case 0xc7: case 0xc8: case 0xc9: return wire_set(head, WIRE_PLAIN, 1 + size, number + 1, 0);
        case 0xcc: case 0xcd: case 0xce: case 0xcf: return wire_set(head, WIRE_UINT, 1 + size, 0, number);
        case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8:
            return wire_set(head, WIRE_PLAIN, 2, (uint64_t)1 << (first - 0xd4), 0);
        case 0xd9: case 0xda: case 0xdb: return wire_set(head, WIRE_STR, 1 + size, number, 0);
        case 0xdc: case 0xdd: return wire_set(head, WIRE_ARRAY, 1 + size, 0, number);
        case 0xde: case 0xdf: return wire_set(head, WIRE_MAP, 1 + size, 0, 2 * number);
        default: return wire_set(head, WIRE_PLAIN, 1 + size, 0, 0); /* false, true, floats, signed integers */
    }
}

/* The length of the message that `data` begins with, 0 when it is not all there, or why it cannot be one. `scan` starts
 * as zeros and is kept between calls as the buffer grows from the same beginning. */
static inline int64_t wire_scan(wire_scan_t *scan, const uint8_t *data, size_t length) {
    wire_head_t head;
    int known;
    if (scan->at == 0) {
        if (length && (data[0] & 0xf0) != 0x90 && data[0] != 0xdc && data[0] != 0xdd) return WIRE_MALFORMED;
        known = wire_head(data, length, &head);
        if (known == 0) return 0;
        if (known < 0 || (head.value != 3 && head.value != 4)) return WIRE_MALFORMED;
    }
    for (;;) {
        if (scan->at > 0) {
            while (scan->depth && scan->left[scan->depth - 1] == 0) scan->depth--;
            if (scan->depth == 0) return scan->at <= length ? (int64_t)scan->at : 0;
        }
        if (scan->at >= length) return 0;
        known = wire_head(data + scan->at, length - scan->at, &head);
        if (known <= 0) return known;
        if (scan->depth) scan->left[scan->depth - 1]--;
        scan->at += head.head + head.body;
        if (head.type == WIRE_ARRAY || head.type == WIRE_MAP) {
            if (scan->depth == WIRE_DEPTH) return WIRE_TOO_DEEP;
            if (head.value > WIRE_MOST) return WIRE_TOO_LONG; /* each object takes a byte at least */
            scan->left[scan->depth++] = (uint32_t)head.value;
        }
        if (scan->at > WIRE_MOST) return WIRE_TOO_LONG;
    }
}

/* Reads an object's head and steps over it. 0, or an error; a cut-off object is malformed here. */
static inline int wire_take(const uint8_t **p, const uint8_t *end, wire_head_t *head) {
    if (wire_head(*p, (size_t)(end - *p), head) <= 0) return WIRE_MALFORMED;
    *p += head->head;
    return 0;
}

/* A str (or a bin, where that is allowed) as text; steps over it. 0 or an error. */
static inline int wire_take_text(const uint8_t **p, const uint8_t *end, int or_bin, wire_text_t *text) {
    wire_head_t head;
    if (wire_take(p, end, &head)) return WIRE_MALFORMED;
    if (head.type != WIRE_STR && !(or_bin && head.type == WIRE_BIN)) return WIRE_TYPE;
    if (head.body > (uint64_t)(end - *p)) return WIRE_MALFORMED;
    text->at = *p;
    text->length = (size_t)head.body;
    *p += head.body;
    return 0;
}

/* Kind, id, method and parameters of a message. On an error `has_id` tells whether the id was read before it. */
static inline int wire_parse(const uint8_t *data, size_t length, wire_message_t *message) {
    const uint8_t *p = data, *end = data + length;
    wire_head_t head;
    uint64_t fields;
    memset(message, 0, sizeof(*message));
    if (wire_take(&p, end, &head) || head.type != WIRE_ARRAY) return WIRE_MALFORMED;
    fields = head.value;
    if (wire_take(&p, end, &head) || head.type != WIRE_UINT) return WIRE_MALFORMED;
    message->kind = (int)(head.value & 3);
    if (!(head.value == WIRE_REQUEST && fields == 4) && !(head.value == WIRE_NOTIFICATION && fields == 3))
        return WIRE_MALFORMED;
    if (message->kind == WIRE_REQUEST) {
        if (wire_take(&p, end, &head) || head.type != WIRE_UINT || head.value > UINT32_MAX) return WIRE_MALFORMED;
        message->id = (uint32_t)head.value;
        message->has_id = 1;
    }
    if (wire_take_text(&p, end, 0, &message->method)) return WIRE_MALFORMED;
    message->params.at = p;
    message->params.length = (size_t)(end - p);
    return 0;
}

/* The parameters of `invoke`: [function, payload, options?]. */
static inline int wire_parse_invoke(const uint8_t *data, size_t length, wire_invoke_t *invoke) {
    const uint8_t *p = data, *end = data + length;
    wire_head_t head;
    uint64_t count;
    memset(invoke, 0, sizeof(*invoke));
    if (wire_take(&p, end, &head)) return WIRE_MALFORMED;
    if (head.type != WIRE_ARRAY || head.value < 1 || head.value > 3) return WIRE_ARITY;
    count = head.value;
    if (wire_take_text(&p, end, 0, &invoke->function)) return WIRE_TYPE;
    if (count > 1) {
        if (p < end && *p == 0xc0) p++;
        else if (wire_take_text(&p, end, 1, &invoke->payload)) return WIRE_TYPE;
    }
    if (count > 2 && p < end && *p != 0xc0) {
        invoke->options.at = p;
        invoke->options.length = (size_t)(end - p);
    }
    return 0;
}

/* --- writing: into room that is known to suffice; each returns the place after what it wrote --------------------- */

static inline uint8_t *wire_put_u32(uint8_t *p, uint32_t value) {
    p[0] = value >> 24; p[1] = value >> 16; p[2] = value >> 8; p[3] = value;
    return p + 4;
}

static inline uint8_t *wire_put_uint(uint8_t *p, uint64_t value) {
    if (value < 0x80) { *p++ = (uint8_t)value; return p; }
    if (value <= UINT32_MAX) { *p++ = 0xce; return wire_put_u32(p, (uint32_t)value); }
    *p++ = 0xcf;
    return wire_put_u32(wire_put_u32(p, value >> 32), (uint32_t)value);
}

static inline uint8_t *wire_put_double(uint8_t *p, double value) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    *p++ = 0xcb;
    return wire_put_u32(wire_put_u32(p, bits >> 32), (uint32_t)bits);
}

static inline uint8_t *wire_put_bytes(uint8_t *p, const void *from, size_t length) {
    memcpy(p, from, length);
    return p + length;
}

static inline uint8_t *wire_put_text(uint8_t *p, const char *text, size_t length) {
    if (length < 32) *p++ = 0xa0 | (uint8_t)length;
    else { *p++ = 0xdb; p = wire_put_u32(p, (uint32_t)length); }
    return wire_put_bytes(p, text, length);
}

static inline uint8_t *wire_put_bin_head(uint8_t *p, size_t length) {
    *p++ = 0xc6;
    return wire_put_u32(p, (uint32_t)length);
}

#endif
