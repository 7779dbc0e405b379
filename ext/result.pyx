"""`InvokeResult`: what one invocation gave. Values that few callers read are rendered when they are read."""

from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.unicode cimport PyUnicode_DecodeASCII
from engine._ext.uuid cimport write_uuid

STARTS = ("cold", "warm", "provisioned", "snapshot")
OUTCOMES = ("ok", "error", "timeout", "exit", "oom")


cdef uint64_t nanoseconds(milliseconds) except? 0:
    """None is 0. The nearest whole number: what was divided by a million comes back exactly."""
    return 0 if milliseconds is None else <uint64_t>(<double>milliseconds * 1e6 + 0.5)


def uuid_text(bytes raw not None) -> str:
    """The text of a request id given as 16 bytes."""
    cdef char text[36]
    if len(raw) != 16:
        raise ValueError(f"a request id is 16 bytes, not {len(raw)}")
    write_uuid(<const uint8_t*>PyBytes_AS_STRING(raw), text)
    return PyUnicode_DecodeASCII(text, 36, NULL)


cdef class InvokeResult:
    """What one invocation gave.

    payload: the answer, JSON as the function's runtime wrote it. status_code: 200 (202 for an event, 204 for a dry
    run). function_error: None, or "Unhandled" when the function failed, and `payload` then describes the error.
    billed_ms, memory_mb, max_memory_mb: as in the REPORT line. log_tail: the last 4 KB of this invocation's log when it
    was asked for.
    """

    @staticmethod
    def receipt(int status_code, bytes raw_id not None, str executed_version, int memory_mb) -> InvokeResult:
        """The result of an invocation that runs later or not at all."""
        cdef InvokeResult result = InvokeResult.__new__(InvokeResult)
        result.payload = b""
        result.status_code = status_code
        result.executed_version = executed_version
        result.memory_mb = memory_mb
        result.start_code = WARM
        memcpy(result.raw_id, PyBytes_AS_STRING(raw_id), 16)
        return result

    @staticmethod
    def from_map(values not None) -> InvokeResult:
        """The result that a map of its fields stands for. Raises KeyError, TypeError or ValueError when it is none."""
        cdef InvokeResult result = InvokeResult.__new__(InvokeResult)
        result.payload = values["payload"]
        result.status_code = values["status_code"]
        result.function_error = values.get("function_error")
        result.executed_version = values["executed_version"]
        result.text_id = values["request_id"]
        result.start_code = STARTS.index(values["start"])
        result.outcome_code = OUTCOMES.index(values.get("outcome") or ("error" if result.function_error else "ok"))
        result.duration_ns = nanoseconds(values["duration_ms"])
        result.init_ns = nanoseconds(values.get("init_ms"))
        result.queued_ns = nanoseconds(values.get("queued_ms"))
        result.billed_ms = values["billed_ms"]
        result.memory_mb = values["memory_mb"]
        result.max_memory_mb = values["max_memory_mb"]
        result.log_tail = values.get("log_tail")
        return result

    def json(self) -> object:
        """The payload as a Python value. Raises ValueError when it is not JSON."""
        from json import loads  # exact for whole numbers of any size, and takes NaN, which Lambda lets through
        return loads(self.payload)

    @property
    def request_id(self) -> str:
        cdef char text[36]
        if self.text_id is None:
            write_uuid(self.raw_id, text)
            self.text_id = PyUnicode_DecodeASCII(text, 36, NULL)
        return self.text_id

    @property
    def start(self) -> str:
        """"cold", "warm", "provisioned" or "snapshot"."""
        return STARTS[self.start_code]

    @property
    def outcome(self) -> str:
        """"ok", "error", "timeout", "exit" or "oom"."""
        return OUTCOMES[self.outcome_code]

    @property
    def duration_ms(self) -> float:
        """From the environment taking the invocation to its answer, in milliseconds."""
        return self.duration_ns / 1e6

    @property
    def init_ms(self) -> float | None:
        """What starting the environment took: its init, or its restoration from a snapshot. None for a warm start."""
        return self.init_ns / 1e6 if self.init_ns else None

    @property
    def queued_ms(self) -> float:
        """From being accepted to being taken by an environment, in milliseconds."""
        return self.queued_ns / 1e6

    def __repr__(self) -> str:
        failed = f" {self.function_error}" if self.function_error else ""
        return (f"<InvokeResult {self.status_code}{failed} {self.request_id} {self.start} "
                f"{self.duration_ms:.2f} ms, {len(self.payload)} bytes>")
