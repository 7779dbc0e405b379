"""What a function logs through `logging` looks as AWS's Python runtime client makes it look."""

from __future__ import annotations

import io
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from awslambdaric import bootstrap
from awslambdaric.lambda_runtime_log_utils import LogFormat, _get_log_level_from_env_var

from engine.runtimes.bootstraps.python.logging_setup import LambdaHandler, choose, configure, is_json

Log = Callable[[logging.Logger], object]


@pytest.fixture(autouse=True)
def untouched_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root, converter = logging.getLogger(), logging.Formatter.converter
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    root.setLevel(logging.WARNING)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.Formatter.converter = converter


def fail(logger: logging.Logger) -> None:
    try:
        {}["missing"]
    except KeyError:
        logger.exception("failed %s", 1)


def log_unserialisable(logger: logging.Logger) -> None:
    logger.error({"when": object}, extra={"where": complex(1, 2)})


LOGS: list[Log] = [
    lambda logger: logger.warning("plain"),
    lambda logger: logger.error("with %s and %d", "text", 3),
    lambda logger: logger.info("not at the default level"),
    lambda logger: logger.debug("only at debug"),
    lambda logger: logger.critical("\u00e4 \U0001f600\nsecond line"),
    lambda logger: logger.log(25, "between two levels"),
    lambda logger: logger.log(99, "beyond the levels"),
    lambda logger: logger.warning("", extra={"user": "u", "n": 1, "none": None, "level": "mine", "requestId": "mine"}),
    lambda logger: logger.warning({"a": 1, "b": [None]}),
    lambda logger: logger.warning({"a": 1}, extra={"tenantId": "mine"}),
    lambda logger: logger.warning("%(a)s", {"a": 1}),
    lambda logger: logger.warning("stack", stack_info=False, extra={"_private": 2}),
    lambda logger: logger.warning(7),
    fail,
    log_unserialisable,
]


def logged(install: Callable[[], object], log: Log, monkeypatch: pytest.MonkeyPatch) -> str:
    root = logging.getLogger()
    root.handlers[:] = []
    root.setLevel(logging.WARNING)
    captured = io.StringIO()
    monkeypatch.setattr(sys, "stdout", captured)
    install()
    log(logging.getLogger("orders"))
    return captured.getvalue()


def configured(request_id: Callable[[], str], log_format: str, level: str | None = None, **settings: Any) -> None:
    """In the two steps of a worker: what is the same for every function, then what its variables say."""
    choose(configure(request_id, **settings), as_json=is_json(log_format), level=level)


def both(log: Log, log_format: str, level: str | None, monkeypatch: pytest.MonkeyPatch, **ids: Any) -> tuple[str, str]:
    request_id, tenant = ids.get("request_id", "id-1"), ids.get("tenant")
    monkeypatch.setattr(bootstrap, "_GLOBAL_AWS_REQUEST_ID", request_id)
    monkeypatch.setattr(bootstrap, "_GLOBAL_TENANT_ID", tenant)
    monkeypatch.setattr(time, "time", lambda: 1_780_000_000.125)

    class Sink(bootstrap.StandardLogSink):
        def log(self, msg: str, frame_type: object = None) -> None:
            sys.stdout.write(msg)

    def oracle() -> None:
        form = LogFormat.from_str(log_format)
        bootstrap._setup_logging(form, _get_log_level_from_env_var(level), Sink())

    expected = logged(oracle, log, monkeypatch)
    own = logged(
        lambda: configured(lambda: request_id, log_format, level, tenant_id=lambda: tenant),
        log,
        monkeypatch,
    )
    # Lambda takes each message as an event, whatever it ends with; in a pipe a newline ends it. The client's text of
    # an exception comes without one.
    return own, expected if expected.endswith("\n") or not expected else expected + "\n"


@pytest.mark.parametrize("log_format", ["Text", "JSON", "json", ""])
@pytest.mark.parametrize("level", [None, "", "TRACE", "DEBUG", "info", "WARN", "FATAL", "nonsense"])
def test_each_record_is_written_as_by_awss_client(
    log_format: str, level: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for log in LOGS:
        own, expected = both(log, log_format, level, monkeypatch)
        assert own == expected


@pytest.mark.parametrize("log_format", ["Text", "JSON"])
@pytest.mark.parametrize("ids", [{"request_id": ""}, {"tenant": "t-1"}])
def test_outside_an_invocation_and_for_a_tenant_too(
    log_format: str, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for log in LOGS:
        own, expected = both(log, log_format, None, monkeypatch, **ids)
        assert own == expected


def test_a_text_line_has_level_time_request_and_message(monkeypatch: pytest.MonkeyPatch) -> None:
    own, _ = both(LOGS[0], "Text", None, monkeypatch)
    assert own == "[WARNING]\t2026-05-28T20:26:40.125Z\tid-1\tplain\n"


def test_a_json_line_has_its_fields_in_lambdas_order(monkeypatch: pytest.MonkeyPatch) -> None:
    own, _ = both(fail, "JSON", None, monkeypatch)
    record = json.loads(own)
    in_order = ["timestamp", "level", "message", "logger", "stackTrace", "errorType", "errorMessage", "requestId"]
    assert list(record) == [*in_order, "location"]
    assert record["timestamp"] == "2026-05-28T20:26:40Z"
    assert record["location"].endswith(f":fail:{fail.__code__.co_firstlineno + 4}")


def test_the_request_is_asked_for_with_each_record(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter(["first", "second"])
    text = logged(lambda: configure(lambda: next(ids)), lambda log: (log.error("a"), log.error("b")), monkeypatch)
    assert [line.split("\t")[2] for line in text.splitlines()] == ["first", "second"]


def test_a_users_formatter_finds_the_request_id_and_needs_no_newline(monkeypatch: pytest.MonkeyPatch) -> None:
    def install() -> None:
        configure(lambda: "id-1").setFormatter(logging.Formatter("%(aws_request_id)s %(message)s"))

    text = logged(install, lambda log: (log.error("a"), log.error("b")), monkeypatch)
    assert text == "id-1 a\nid-1 b\n"


def test_logging_an_exception_where_there_is_none_is_a_plain_record(monkeypatch: pytest.MonkeyPatch) -> None:
    # AWS's client raises AttributeError into the function here.
    text = logged(lambda: configured(lambda: "id", "JSON"), lambda log: log.exception("none"), monkeypatch)
    assert set(json.loads(text)) == {"timestamp", "level", "message", "logger", "requestId"}


@pytest.mark.parametrize("log_format", ["Text", "JSON"])
def test_an_error_while_formatting_reaches_the_caller_as_with_awss_client(
    log_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for install in (
        lambda: bootstrap._setup_logging(LogFormat.from_str(log_format), "", bootstrap.StandardLogSink()),
        lambda: configured(lambda: "id", log_format),
    ):
        with pytest.raises(TypeError, match="a real number is required"):
            logged(install, lambda log: log.error("%d", "text"), monkeypatch)


def test_the_handler_has_the_sink_that_context_log_looks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    captured = io.StringIO()
    handler = configure(lambda: "id")
    monkeypatch.setattr(sys, "stdout", captured)
    assert isinstance(handler, LambdaHandler)
    handler.log_sink.log("from context.log")
    handler.log_sink.log("again\n")
    assert captured.getvalue() == "from context.log\nagain\n"
