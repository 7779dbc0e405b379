# MessagePack-RPC framing in C: see wire.h.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "engine/_ext/wire.h" nogil:
    enum:
        WIRE_DEPTH
        WIRE_MOST
        WIRE_REQUEST
        WIRE_NOTIFICATION
        WIRE_MALFORMED
        WIRE_TOO_DEEP
        WIRE_TOO_LONG
        WIRE_ARITY
        WIRE_TYPE

    ctypedef struct wire_scan_t:
        uint64_t at
        uint32_t depth

    ctypedef struct wire_text_t:
        const uint8_t* at
        size_t length

    ctypedef struct wire_message_t:
        int kind, has_id
        uint32_t id
        wire_text_t method, params

    ctypedef struct wire_invoke_t:
        wire_text_t function, payload, options

    int64_t wire_scan(wire_scan_t*, const uint8_t*, size_t) noexcept
    int wire_parse(const uint8_t*, size_t, wire_message_t*) noexcept
    int wire_parse_invoke(const uint8_t*, size_t, wire_invoke_t*) noexcept
    uint8_t* wire_put_uint(uint8_t*, uint64_t) noexcept
    uint8_t* wire_put_double(uint8_t*, double) noexcept
    uint8_t* wire_put_bytes(uint8_t*, const void*, size_t) noexcept
    uint8_t* wire_put_text(uint8_t*, const char*, size_t) noexcept
    uint8_t* wire_put_bin_head(uint8_t*, size_t) noexcept
