"""The two requests of the Runtime API that every invocation takes, read in one go: GET next and POST response.

Only what is plain is read: HTTP/1.1, headers of one line each, a Content-Length where there is a body, and nothing that
asks for more than an answer. Whatever else there is, `hot_request` leaves to a parser that knows all of HTTP; the two
must agree on what both read (tests/runtimes/test_runtime_api_http.py).
"""

from libc.string cimport memchr, memcmp
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

cdef enum:
    ID_LENGTH = 36              # of an invocation, as this engine makes them
    HEAD_MOST = 8192
    DIGITS_MOST = 9
    LINE_END_LENGTH = 2

cdef extern from *:
    """
    static const char NEXT[] = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\n";
    static const char POST[] = "POST /2018-06-01/runtime/invocation/";
    static const char RESPONSE[] = "/response HTTP/1.1\\r\\n";
    enum { NEXT_LENGTH = sizeof NEXT - 1, POST_LENGTH = sizeof POST - 1, RESPONSE_LENGTH = sizeof RESPONSE - 1,
           PATH_LENGTH = sizeof "/2018-06-01/runtime/invocation/" - 1 + 36 + sizeof "/response" - 1 };
    """
    const char* NEXT
    const char* POST
    const char* RESPONSE
    enum:
        NEXT_LENGTH
        POST_LENGTH
        RESPONSE_LENGTH
        PATH_LENGTH

cdef bytes GET_METHOD = b"GET"
cdef bytes POST_METHOD = b"POST"
cdef bytes NEXT_PATH = b"/2018-06-01/runtime/invocation/next"


def hot_request(bytes data not None, Py_ssize_t at):
    """The hot request that begins there: its method, path, and where its body begins and ends, perhaps past the data.

    None where there is none, or not all of its head.
    """
    cdef const char* from_ptr = PyBytes_AS_STRING(data) + at
    cdef Py_ssize_t left = PyBytes_GET_SIZE(data) - at, head, length = -1
    cdef bytes path
    if left > NEXT_LENGTH and memcmp(from_ptr, NEXT, NEXT_LENGTH) == 0:
        head = head_end(from_ptr, NEXT_LENGTH, min(left, <Py_ssize_t>HEAD_MOST), &length)
        if head < 0 or length > 0:
            return None
        return GET_METHOD, NEXT_PATH, at + head, at + head
    if (left > POST_LENGTH + ID_LENGTH + RESPONSE_LENGTH and memcmp(from_ptr, POST, POST_LENGTH) == 0
            and memcmp(from_ptr + POST_LENGTH + ID_LENGTH, RESPONSE, RESPONSE_LENGTH) == 0
            and is_id(from_ptr + POST_LENGTH)):
        head = head_end(from_ptr, POST_LENGTH + ID_LENGTH + RESPONSE_LENGTH, min(left, <Py_ssize_t>HEAD_MOST), &length)
        if head < 0 or length < 0:
            return None
        path = PyBytes_FromStringAndSize(from_ptr + len(POST_METHOD) + 1, PATH_LENGTH)
        return POST_METHOD, path, at + head, at + head + length
    return None


cdef bint is_id(const char* from_ptr) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(ID_LENGTH):
        if not (c"0" <= from_ptr[i] <= c"9" or c"a" <= from_ptr[i] <= c"f" or from_ptr[i] == c"-"):
            return False
    return True


cdef Py_ssize_t head_end(const char* from_ptr, Py_ssize_t at, Py_ssize_t most, Py_ssize_t* length_ptr) noexcept nogil:
    """Where the body begins, with its length where that is told; -1 for a head that is not all there or not plain."""
    cdef Py_ssize_t name, end
    cdef const char* found_ptr
    while True:
        found_ptr = <const char*>memchr(from_ptr + at, c"\r", most - at)
        if found_ptr == NULL or found_ptr - from_ptr + 1 >= most or found_ptr[1] != c"\n":
            return -1
        end = found_ptr - from_ptr
        if end == at:
            return end + LINE_END_LENGTH
        name = name_length(from_ptr + at, end - at)
        if name <= 0 or not is_plain(from_ptr + at, name, end - at, length_ptr):
            return -1
        at = end + LINE_END_LENGTH


cdef Py_ssize_t name_length(const char* line_ptr, Py_ssize_t length) noexcept nogil:
    """Up to the colon; 0 where there is none, or a byte that no plain line has."""
    cdef Py_ssize_t i, colon = 0
    cdef unsigned char c
    for i in range(length):
        c = <unsigned char>line_ptr[i]
        if colon:
            if (c < 32 and c != 9) or c == 127:
                return 0
        elif c == c":":
            if i == 0:
                return 0
            colon = i
        elif not (c"a" <= (c | 32) <= c"z" or c"0" <= c <= c"9" or c == c"-"):
            return 0
    return colon


cdef bint is_named(const char* line_ptr, Py_ssize_t length, const char* name, Py_ssize_t name_length) noexcept nogil:
    """Whether these bytes are that name, written in small letters, or begin with it where `length` is no less."""
    cdef Py_ssize_t i
    if length < name_length:
        return False
    for i in range(name_length):
        if (line_ptr[i] | 32) != name[i] and line_ptr[i] != name[i]:
            return False
    return True


cdef bint is_plain(const char* line_ptr, Py_ssize_t name, Py_ssize_t length, Py_ssize_t* length_ptr) noexcept nogil:
    """Whether a header changes nothing about how its request is read or answered. A Content-Length is noted."""
    cdef Py_ssize_t i, end = length
    cdef Py_ssize_t start = name + 1
    while start < end and (line_ptr[start] == c" " or line_ptr[start] == c"\t"):
        start += 1
    while end > start and (line_ptr[end - 1] == c" " or line_ptr[end - 1] == c"\t"):
        end -= 1
    if name == 14 and is_named(line_ptr, name, b"content-length", 14):
        if length_ptr[0] >= 0 or not 0 < end - start <= DIGITS_MOST:
            return False
        length_ptr[0] = 0
        for i in range(start, end):
            if not c"0" <= line_ptr[i] <= c"9":
                return False
            length_ptr[0] = length_ptr[0] * 10 + (line_ptr[i] - c"0")
        return True
    if name == 10 and is_named(line_ptr, name, b"connection", 10):
        return end - start == 10 and is_named(line_ptr + start, 10, b"keep-alive", 10)
    return not (
        (name == 17 and is_named(line_ptr, name, b"transfer-encoding", 17))
        or (name == 6 and is_named(line_ptr, name, b"expect", 6))
        or (name == 7 and is_named(line_ptr, name, b"upgrade", 7))
        or (name == 16 and is_named(line_ptr, name, b"proxy-connection", 16))
        or is_named(line_ptr, name, b"lambda-runtime-function-", 24)
    )
