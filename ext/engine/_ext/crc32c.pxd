# CRC-32C (Castagnoli): by the processor's own instruction where there is one, else by a table of half bytes.

from libc.stdint cimport uint8_t, uint32_t

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>

    static uint32_t crc32c_table(uint32_t crc, const uint8_t *data, size_t length) {
        static const uint32_t half[16] = {
            0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
            0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
        while (length--) {
            crc ^= *data++;
            crc = half[crc & 15] ^ (crc >> 4);
            crc = half[crc & 15] ^ (crc >> 4);
        }
        return crc;
    }

    #if defined(__x86_64__)
    __attribute__((target("sse4.2")))
    static uint32_t crc32c_sse(uint32_t crc, const uint8_t *data, size_t length) {
        uint64_t wide = crc, word;
        for (; length >= 8; data += 8, length -= 8) {
            memcpy(&word, data, 8);
            wide = __builtin_ia32_crc32di(wide, word);
        }
        crc = (uint32_t)wide;
        while (length--) crc = __builtin_ia32_crc32qi(crc, *data++);
        return crc;
    }
    #endif

    /* Goes on from the crc of what came before; 0 to begin with. */
    static uint32_t crc32c(uint32_t before, const void *data, size_t length) {
    #if defined(__x86_64__)
        if (__builtin_cpu_supports("sse4.2")) return ~crc32c_sse(~before, (const uint8_t *)data, length);
    #endif
        return ~crc32c_table(~before, (const uint8_t *)data, length);
    }

    static uint32_t crc32c_slowly(const void *data, size_t length) {
        return ~crc32c_table(~(uint32_t)0, (const uint8_t *)data, length);
    }
    """
    uint32_t crc32c(uint32_t before, const void* data, size_t length) noexcept nogil
    uint32_t crc32c_slowly(const void* data, size_t length) noexcept nogil
