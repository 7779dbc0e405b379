"""The root logging handler that a function finds, in Lambda's two formats. It writes to whatever sys.stdout is."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable, Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TEXT_FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
_TEXT_TIME = "%Y-%m-%dT%H:%M:%S"
_JSON_TIME = "%Y-%m-%dT%H:%M:%SZ"
# A record's own attributes; whatever else it has came from `extra` and is written out.
_RECORD_FIELDS = frozenset(
    {
        "name", "msg", "args", "levelname", "levelno", "pathname", "filename", "module", "exc_info", "exc_text",
        "stack_info", "lineno", "funcName", "created", "msecs", "relativeCreated", "thread", "threadName",
        "processName", "process", "aws_request_id", "tenant_id", "_frame_type",
    }
)  # fmt: skip


def configure(request_id: Callable[[], str], *, tenant_id: Callable[[], str | None] = lambda: None) -> LambdaHandler:
    """Adds Lambda's handler to the root logger, in the text format, and returns it.

    The root logger keeps logging's default level, WARNING. Every formatter of the process writes UTC afterwards, the
    user's too.
    """
    logging.Formatter.converter = time.gmtime
    handler = LambdaHandler(request_id, tenant_id)
    handler.setFormatter(logging.Formatter(_TEXT_FORMAT, _TEXT_TIME))
    logging.getLogger().addHandler(handler)
    return handler


def is_json(log_format: str | None) -> bool:
    """Whether AWS_LAMBDA_LOG_FORMAT asks for JSON; a function's own settings may have it in any case."""
    return log_format is not None and log_format.upper() == "JSON"


def choose(handler: logging.Handler, *, as_json: bool, level: str | None) -> None:
    """The format, and the root logger's level: AWS_LAMBDA_LOG_LEVEL, where TRACE means DEBUG, and others nothing."""
    if as_json:
        handler.setFormatter(JsonFormatter())
    wanted = "DEBUG" if level == "TRACE" else (level or "").upper()
    if isinstance(logging.getLevelName(wanted), int):  # a text for a name that is none
        logging.getLogger().setLevel(wanted)


class StdoutSink:
    """Where the handler writes, and `context.log` too, which finds it as the attribute `log_sink` of a handler.

    Each message is an event of its own in Lambda, so one without a final newline gets it.
    """

    def log(self, message: str) -> None:
        sys.stdout.write(message if message.endswith("\n") else message + "\n")


class LambdaHandler(logging.Handler):
    """Stamps each record with the invocation that it belongs to and writes it.

    As in Lambda, an error while a record is formatted reaches the code that logged it.
    """

    def __init__(self, request_id: Callable[[], str], tenant_id: Callable[[], str | None]) -> None:
        super().__init__()
        self.log_sink = StdoutSink()
        self._request_id = request_id
        self._tenant_id = tenant_id
        self.addFilter(self._stamp)

    def _stamp(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = self._request_id() or ""
        record.tenant_id = self._tenant_id()
        return True

    def emit(self, record: logging.LogRecord) -> None:
        self.log_sink.log(self.format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line; fields without a value are left out."""

    def __init__(self) -> None:
        super().__init__(datefmt=_JSON_TIME)
        from json import JSONEncoder  # most functions log text

        self._encode = JSONEncoder(ensure_ascii=False, default=str).encode

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "timestamp": self.formatTime(record, self.datefmt),
            "level": _level_name(record.levelno),
            "message": _message(record),
            "logger": record.name,
            **_exception_fields(record),
            "requestId": getattr(record, "aws_request_id", None),
            "location": _location(record),
            **_tenant_field(record),
        }
        for name, value in _extra(record):
            fields.setdefault(name, value)
        return self._encode({name: value for name, value in fields.items() if value is not None}) + "\n"


def _level_name(levelno: int) -> str:
    return logging.getLevelName(min(50, max(0, levelno)) // 10 * 10)


def _message(record: logging.LogRecord) -> object:
    as_object = isinstance(record.msg, dict) and not record.args
    return record.msg if as_object else record.getMessage()


def _has_exception(record: logging.LogRecord) -> bool:
    # `logger.exception` outside an `except` gives a triple of None, on which AWS's client fails.
    return bool(record.exc_info) and record.exc_info != (None, None, None)


def _exception_fields(record: logging.LogRecord) -> dict[str, Any]:
    exc_type, exc, tb = record.exc_info if record.exc_info and _has_exception(record) else (None, None, None)
    if exc_type is None:
        return {"stackTrace": None, "errorType": None, "errorMessage": None}
    return {"stackTrace": traceback.format_tb(tb), "errorType": exc_type.__name__, "errorMessage": str(exc)}


def _location(record: logging.LogRecord) -> str | None:
    return f"{record.pathname}:{record.funcName}:{record.lineno}" if _has_exception(record) else None


def _tenant_field(record: logging.LogRecord) -> dict[str, Any]:
    tenant_id = getattr(record, "tenant_id", None)
    return {} if tenant_id is None else {"tenantId": tenant_id}  # without one, an `extra` may be called tenantId


def _extra(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    return ((name, value) for name, value in record.__dict__.items() if name not in _RECORD_FIELDS)
