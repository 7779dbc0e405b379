# Rows by two numbers, in the order in which they were first asked for: open addressing over an array that grows.
#
# A row is any struct that begins with the two numbers as uint32_t. One thread at a time.

from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

cdef struct pair_key_t:
    uint32_t first, second

cdef struct pair_table_t:
    char* rows_ptr
    uint32_t* slots_ptr     # a row's number, plus one
    size_t row_bytes
    uint32_t count, capacity


cdef inline pair_key_t* pair_row(const pair_table_t* table_ptr, uint32_t number) noexcept nogil:
    return <pair_key_t*>(table_ptr.rows_ptr + number * table_ptr.row_bytes)


cdef inline uint32_t pair_slot(const pair_table_t* table_ptr, uint32_t first, uint32_t second) noexcept nogil:
    cdef uint32_t mask = table_ptr.capacity * 2 - 1
    cdef uint32_t slot = (first * 2654435761U ^ second * 40503U) & mask
    cdef const pair_key_t* row_ptr
    while table_ptr.slots_ptr[slot]:
        row_ptr = pair_row(table_ptr, table_ptr.slots_ptr[slot] - 1)
        if row_ptr.first == first and row_ptr.second == second:
            return slot
        slot = (slot + 1) & mask
    return slot


cdef inline bint pair_grow(pair_table_t* table_ptr) noexcept nogil:
    """Twice the room. False when there is no memory; what is there stays."""
    cdef uint32_t capacity = max(<uint32_t>64, table_ptr.capacity * 2), i
    cdef char* rows_ptr = <char*>realloc(table_ptr.rows_ptr, capacity * table_ptr.row_bytes)
    cdef uint32_t* slots_ptr
    if rows_ptr == NULL:
        return False
    table_ptr.rows_ptr = rows_ptr
    slots_ptr = <uint32_t*>calloc(capacity * 2, sizeof(uint32_t))
    if slots_ptr == NULL:
        return False
    free(table_ptr.slots_ptr)
    table_ptr.slots_ptr = slots_ptr
    table_ptr.capacity = capacity
    for i in range(table_ptr.count):
        slots_ptr[pair_slot(table_ptr, pair_row(table_ptr, i).first, pair_row(table_ptr, i).second)] = i + 1
    return True


cdef inline void* pair_find(pair_table_t* table_ptr, uint32_t first, uint32_t second) noexcept nogil:
    """The row of these two; a new one is all zero but for them, and `count` has grown. NULL when there is no memory."""
    cdef uint32_t slot
    cdef pair_key_t* row_ptr
    if table_ptr.count == table_ptr.capacity and not pair_grow(table_ptr):
        return NULL
    slot = pair_slot(table_ptr, first, second)
    if table_ptr.slots_ptr[slot] == 0:
        row_ptr = pair_row(table_ptr, table_ptr.count)
        memset(row_ptr, 0, table_ptr.row_bytes)
        row_ptr.first = first
        row_ptr.second = second
        table_ptr.count += 1
        table_ptr.slots_ptr[slot] = table_ptr.count
    return pair_row(table_ptr, table_ptr.slots_ptr[slot] - 1)


cdef inline void pair_clear(pair_table_t* table_ptr) noexcept nogil:
    """No rows any more; the room stays."""
    table_ptr.count = 0
    if table_ptr.capacity:
        memset(table_ptr.slots_ptr, 0, table_ptr.capacity * 2 * sizeof(uint32_t))


cdef inline void pair_free(pair_table_t* table_ptr) noexcept nogil:
    free(table_ptr.rows_ptr)
    free(table_ptr.slots_ptr)
