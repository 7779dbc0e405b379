cdef class Mapping:
    cdef char* base_ptr
    cdef int pid
