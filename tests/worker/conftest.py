"""AWS's own Python runtime client, run in this process, as the oracle of what Lambda answers and logs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from awslambdaric import bootstrap
from awslambdaric.lambda_runtime_exception import FaultException
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller

from engine.runtimes.bootstraps.python.faults import describe

Answer = dict[str, Any]


class _LogLines:
    """Stands where AWS's client writes its error lines."""

    def __init__(self) -> None:
        self.text = ""

    def log_error(self, lines: list[str]) -> None:
        self.text = bootstrap.ERROR_LOG_LINE_TERMINATE.join(lines) + "\n"


class _Service:
    """Stands for the Runtime API, which only exists inside Lambda."""

    def __init__(self) -> None:
        self.marshaller = LambdaMarshaller()
        self.answer = ""

    def post_invocation_error(self, _id: str, answer: str, *_rest: object) -> None:
        self.answer = answer

    def post_invocation_result(self, _id: str, answer: str, *_rest: object) -> None:
        self.answer = answer


def _oracle_invoke(handler: Callable[..., object], body: bytes = b"{}", **caller: str) -> tuple[Answer, str]:
    service, log = _Service(), _LogLines()
    context = (caller.get("client_context"), caller.get("identity"), "arn:f", 9_999_999_999_999, None)
    bootstrap.handle_event_request(service, handler, "id-1", body, "application/json", *context, log)
    return json.loads(service.answer), log.text


def _oracle_load(handler: str) -> tuple[object, Answer | None]:
    try:
        return bootstrap._get_handler(handler), None
    except FaultException as fault:
        return None, bootstrap.make_error(fault.msg, fault.exception_type, fault.trace)
    except Exception:  # noqa: BLE001  # every failure of a module is described
        error = bootstrap.build_fault_result(sys.exc_info(), None)
        # Inside Lambda the frame below the client's is the client's too, and is cut with it.
        return None, {**error, "stackTrace": [line for line in error["stackTrace"] if not _is_outer(line)]}


def _is_outer(line: str) -> bool:
    return f'"{__file__}"' in line or f'"{bootstrap.__file__}"' in line


@pytest.fixture
def oracle() -> SimpleNamespace:
    """`invoke(handler, body)` gives AWS's answer and log text; `load(name)` the handler or the init error."""
    return SimpleNamespace(invoke=_oracle_invoke, load=_oracle_load)


def _failure_of(call: Callable[[], object], request_id: str) -> Answer:
    try:
        call()
    except Exception as exc:  # noqa: BLE001  # every failure is described
        own = {__file__, sys._getframe(1).f_code.co_filename}
        return dict(describe(type(exc), exc, exc.__traceback__, request_id=request_id, own_files=own))
    raise AssertionError("the call did not fail")


@pytest.fixture
def failure_of() -> Callable[[Callable[[], object], str], Answer]:
    """Calls something that fails and describes the failure, the test's own leading frames left out."""
    return _failure_of


@pytest.fixture
def task_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A code folder, first on sys.path; whatever is imported from it is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]
