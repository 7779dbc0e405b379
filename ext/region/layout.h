/* The shared region of one function version: structs, sizes, ABI number and the atomics that touch them.
   No behaviour here: the protocol over these words is in queue.h and queue.pxd; the latter explains the orderings. */
#ifndef ENGINE_LAYOUT_H
#define ENGINE_LAYOUT_H

#include <stdint.h>
#include <stddef.h>

#define REGION_MAGIC 0x31474552474e45ULL /* "ENGREG1" */
#define REGION_ABI 4

enum {
    SLOTS = 1024,          /* invocations of one version in the region at once; more wait at the door */
    ENVS = 1024,           /* environments of one version */
    SLOT_WORDS = SLOTS / 64,
    ENV_WORDS = ENVS / 64, /* words of a bitmap with one bit per environment */
    READY_CAP = 4096,      /* hints in the ready ring; > SLOTS so that repairs never fill it */
    SLOT_STRIDE = 4096,
    SLOT_HEAD = 128,
    INLINE_MAX = SLOT_STRIDE - SLOT_HEAD,
    TYPE_MAX = 256,        /* longest error type an environment may hand over */
    SPAN = 8 << 20,        /* spill space of one slot: a payload over INLINE_MAX lives there, by file offset */
    FLOW_RING = 1 << 18,   /* bytes that a stream's function may be ahead of its reader: see flow_ring.pxd */
    FLOW_MAX = 200 << 20   /* bytes of one stream */
};

/* Phases of a slot's word; the word is  phase:8 | owner:16 | generation:40. */
enum { FREE = 0, READY = 1, CLAIMED = 2, DONE = 3 };

/* in_flags / out_flags */
enum { IN_SPILLED = 1, IN_STREAMED = 2 };
enum { OUT_SPILLED = 1, OUT_ERROR = 2 };

/* init_state of an environment record */
enum { INIT_RUNNING = 0, INIT_OK = 1, INIT_FAILED = 2 };

/* retire of an environment record: end when idle; now, for its invocation ran out of time; now */
enum { RETIRE_IDLE = 1, RETIRE_TIMED_OUT = 2, RETIRE_NOW = 3 };

/* farewell of an environment record: it wants time before it ends; it is about to end by itself */
enum { FAREWELL_WANTED = 1, FAREWELL_BEGUN = 2 };

typedef struct {
    uint64_t magic;
    uint32_t abi, slots, envs, slot_stride;
    uint8_t _pad0[40];
    /* written by the core */
    uint64_t ready_tail;
    uint32_t core_asleep, spin_ns, spin_limit, _pad1;
    uint8_t _pad2[40];
    /* compare-and-swapped by environments */
    uint64_t ready_head;
    uint8_t _pad3[56];
    uint64_t sleeping[ENV_WORDS];
    uint64_t spinning[ENV_WORDS];
    uint64_t finished[ENV_WORDS];
} region_t;

typedef struct {
    /* written by the core */
    uint32_t bell, retire;
    uint64_t log_read; /* 2 * bytes taken from the log pipe; odd while a read is under way */
    uint8_t _pad0[48];
    /* written by the environment */
    uint64_t done_tail;
    uint64_t init_start_ns, init_end_ns, init_log_end;
    uint32_t init_state, init_type_len;
    uint64_t restored_ns; /* when a snapshot's memory was in place; 0 of an init */
    uint32_t flow_slot;   /* 1 + the slot whose answer it streams, or 0 */
    uint32_t farewell;    /* whether it has extensions, to be told before it ends */
    uint8_t _pad1[8];
    char init_type[TYPE_MAX];
} env_t;

typedef struct {
    uint64_t word; /* the only authority over this slot */
    uint8_t request_id[16];
    uint32_t in_len, in_extra_len, in_flags, _pad0;
    uint64_t published_ns;
    uint64_t flow_taken; /* bytes of the stream that the core has taken */
    uint32_t flow_dropped, _pad1; /* nobody reads it any more */
    /* written by the owner */
    uint32_t out_len, out_type_len, out_flags, memory_kb;
    uint64_t claimed_ns, done_ns, log_end, cpu_ns;
    uint64_t flow_given;         /* bytes of the stream that were ever written */
    uint32_t flow_wanted, _pad2; /* the room that its owner sleeps for, or 0 */
    uint8_t body[INLINE_MAX];
} slot_t;

#define READY_OFFSET 4096
#define ENVS_OFFSET (READY_OFFSET + READY_CAP * 8)
#define RINGS_OFFSET (ENVS_OFFSET + ENVS * sizeof(env_t))
#define SLOTS_OFFSET (RINGS_OFFSET + ENVS * SLOTS * 2)
#define MAP_BYTES (SLOTS_OFFSET + (size_t)SLOTS * SLOT_STRIDE)
#define SPILL_OFFSET ((uint64_t)SPAN)
#define REGION_BYTES (SPILL_OFFSET + (uint64_t)SLOTS * SPAN)
#define FLOW_OFFSET ((uint64_t)SPAN - FLOW_RING) /* of a stream's ring in its slot's spill space */

_Static_assert(offsetof(region_t, ready_tail) == 64, "the core's line");
_Static_assert(offsetof(region_t, ready_head) == 128, "the consumers' line");
_Static_assert(sizeof(region_t) <= READY_OFFSET, "head fits its page");
_Static_assert(sizeof(env_t) == 384 && offsetof(env_t, done_tail) == 64, "environment record");
_Static_assert(sizeof(slot_t) == SLOT_STRIDE && offsetof(slot_t, out_len) == 64, "slot");
_Static_assert(offsetof(slot_t, body) == SLOT_HEAD, "slot head is two lines");
_Static_assert(SLOTS_OFFSET % 4096 == 0, "slots are page aligned");
_Static_assert(MAP_BYTES <= SPILL_OFFSET, "the mapped part ends before the spill space");
_Static_assert(FLOW_OFFSET >= 7 << 20, "an event or answer of 6 MiB, with what is beside it, ends before the ring");
_Static_assert((READY_CAP & (READY_CAP - 1)) == 0 && (SLOTS & (SLOTS - 1)) == 0, "powers of two");

static inline uint64_t load64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline uint32_t load32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline uint16_t load16(const uint16_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void store64(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void store32(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void store16(uint16_t *p, uint16_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static inline int cas64(uint64_t *p, uint64_t was, uint64_t is) {
    return __atomic_compare_exchange_n(p, &was, is, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
static inline uint64_t swap64(uint64_t *p, uint64_t v) { return __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL); }
static inline uint64_t or64(uint64_t *p, uint64_t v) { return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST); }
static inline uint64_t and64(uint64_t *p, uint64_t v) { return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST); }
static inline uint32_t add32(uint32_t *p, uint32_t v) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }
static inline void fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void acquire_fence(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
static inline int lowest_bit(uint64_t v) { return __builtin_ctzll(v); }
static inline int count_bits(uint64_t v) { return __builtin_popcountll(v); }
static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

#endif
