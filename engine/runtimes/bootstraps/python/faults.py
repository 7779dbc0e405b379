"""What a caller and the log are told when a function fails, in the words of AWS's Python runtime client 4.2.2.

Only exceptions that derive from Exception are described. SystemExit, KeyboardInterrupt and every other BaseException
end the process in Lambda (Runtime.ExitError), so the caller of this module must let them through.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Container, Iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, TypedDict

    class ErrorAnswer(TypedDict):
        """Lambda's answer for a failed function; the order of the keys is the order on the wire."""

        errorMessage: str
        errorType: str
        requestId: str
        stackTrace: list[str]


FRAMES_MAX = 10_000  # a deeper stack keeps its outermost frames; Lambda has no bound and runs into the answer's
_LINE_END = "\r"  # CloudWatch splits events at \n only, so that a trace stays one event
_NO_BREAK_SPACE = "\u00a0"


class Fault(Exception):
    """A failure that Lambda's runtime names itself, such as `Runtime.HandlerNotFound`.

    `stack_trace` holds ready lines; it is empty for everything but a syntax error.
    """

    def __init__(self, error_type: str, message: str, stack_trace: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.stack_trace = list(stack_trace)


def describe(
    exc_type: type[BaseException],
    exc: BaseException,
    tb: TracebackType | None,
    *,
    request_id: str,
    own_files: Container[str] = (),
) -> ErrorAnswer:
    """The answer for one failure. `request_id` is "" during init.

    Leading frames of this folder and of `own_files` (code-object file names) are left out. As in Lambda, a cause, a
    context, notes and the members of an exception group are not told.
    """
    if isinstance(exc, Fault):
        message, error_type, stack_trace = exc.message, exc.error_type, list(exc.stack_trace)
    else:
        message, error_type, stack_trace = text_of(exc), exc_type.__name__, _stack_trace(tb, own_files)
    return {"errorMessage": message, "errorType": error_type, "requestId": request_id, "stackTrace": stack_trace}


def text_of(exc: BaseException) -> str:
    """`str(exc)` as an exact str; a fixed text when the exception's own `__str__` raises."""
    try:
        return str.__str__(str(exc))
    except BaseException:  # noqa: BLE001  # __str__ is the user's code: whatever it raises must not hide the failure
        return "<exception str() failed>"


def log_text(error: ErrorAnswer) -> str:
    """What Lambda puts into a Text log: `[ERROR] Type: message` and the trace, joined by carriage returns."""
    lines = [_headline(error["errorType"], error["errorMessage"]), "Traceback (most recent call last):"]
    for element in error["stackTrace"]:
        lines.extend(_hard_indented(line) for line in element.splitlines() or [""])
    return _LINE_END.join(lines) + "\n"


def log_json(error: ErrorAnswer, marshal: Callable[[object], bytes]) -> str:
    """The record that Lambda puts into a JSON log; `marshal` is the function's own (see `marshal.codec`)."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return marshal({"timestamp": now, "level": "ERROR", **error}).decode() + "\n"


def _headline(error_type: str, message: str) -> str:
    told = ": ".join(part for part in (error_type, message) if part)
    return f"[ERROR] {told}" if told else "[ERROR]"


def _hard_indented(line: str) -> str:
    text = line.lstrip(" ")
    return _NO_BREAK_SPACE * (len(line) - len(text)) + text


def _stack_trace(tb: TracebackType | None, own_files: Container[str]) -> list[str]:
    while tb is not None and _is_own(tb.tb_frame.f_code.co_filename, own_files):
        tb = tb.tb_next
    try:
        frames: list[Any] = traceback.extract_tb(tb, limit=FRAMES_MAX)
        # Only these four go in: Lambda prints no column markers.
        return traceback.format_list([(frame.filename, frame.lineno, frame.name, frame.line) for frame in frames])
    except Exception:  # noqa: BLE001  # the user's import loader, asked for source lines, or a recursion limit too low
        return _bare_stack_trace(tb)


def _is_own(filename: str, own_files: Container[str]) -> bool:
    return filename in own_files or os.path.dirname(filename) == os.path.dirname(_is_own.__code__.co_filename)


def _bare_stack_trace(tb: TracebackType | None) -> list[str]:
    lines: list[str] = []
    while tb is not None and len(lines) < FRAMES_MAX:
        code = tb.tb_frame.f_code
        lines.append(f'  File "{code.co_filename}", line {tb.tb_lineno}, in {code.co_name}\n')
        tb = tb.tb_next
    return lines
