/* libFuzzer's target: whatever bytes come, in whatever pieces, the framing reads nothing that is not there, says the same
 * as in one piece, and agrees with itself. Each piece lies in memory of exactly its size, so that the address sanitizer
 * sees a read of one byte too many. */
#include <stdlib.h>

#include "engine/_ext/wire.h"

#define MUST(what) do { if (!(what)) __builtin_trap(); } while (0)

static uint8_t *copy(const uint8_t *data, size_t length) {
    uint8_t *own = malloc(length ? length : 1);
    memcpy(own, data, length);
    return own;
}

static int within(const wire_text_t *text, const uint8_t *data, size_t length) {
    return text->at == NULL || (text->at >= data && text->at + text->length <= data + length);
}

static int64_t in_pieces(const uint8_t *data, size_t length, size_t piece) {
    wire_scan_t scan = {0};
    int64_t found = 0;
    for (size_t seen = 0; found == 0 && seen < length;) {
        seen = seen + piece < length ? seen + piece : length;
        uint8_t *own = copy(data, seen);
        found = wire_scan(&scan, own, seen);
        free(own);
    }
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    wire_scan_t scan = {0};
    wire_message_t message;
    wire_invoke_t invoke;
    if (length < 1) return 0;
    size_t piece = 1 + data[0] % 64;
    data++, length--;
    uint8_t *own = copy(data, length);
    int64_t size = wire_scan(&scan, own, length);
    MUST(size <= (int64_t)length && size >= WIRE_TYPE && scan.depth <= WIRE_DEPTH);
    MUST(length > 4096 || in_pieces(data, length, piece) == size);
    free(own);

    size_t whole = size > 0 ? (size_t)size : length; /* of a part of a message too: its id is looked for */
    own = copy(data, whole);
    if (wire_parse(own, whole, &message) == 0) {
        MUST(within(&message.method, own, whole) && within(&message.params, own, whole));
        MUST(message.kind == WIRE_NOTIFICATION || message.has_id);
        uint8_t *params = copy(message.params.at, message.params.length);
        if (wire_parse_invoke(params, message.params.length, &invoke) == 0) {
            MUST(invoke.function.at != NULL);
            MUST(within(&invoke.function, params, message.params.length));
            MUST(within(&invoke.payload, params, message.params.length));
            MUST(within(&invoke.options, params, message.params.length));
        }
        free(params);
    }
    free(own);
    return 0;
}
