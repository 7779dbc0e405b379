"""Clients that keep a service busy until it is gone, and remember every answer that they heard."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from serving import Raw

LOST = (EOFError, ConnectionResetError, BrokenPipeError)


class Heard(NamedTuple):
    """An answer: the invocation that it names, as the ledger does, and when it was read."""

    request_id: str
    function: str
    monotonic_ns: int


def heard_now(result: dict[str, Any], function: str) -> Heard:
    return Heard(result["request_id"].replace("-", ""), function, time.monotonic_ns())


class Heed:
    """Counts answers over all callers, so that a kill can come after so many."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._under_way = 0

    def began(self) -> None:
        with self._changed:
            self._under_way += 1

    def ended(self) -> None:
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def heard(self, answers: int = 1) -> None:
        with self._changed:
            self._count += answers
            self._changed.notify_all()

    def wait_for(self, answers: int, within_s: float) -> None:
        """Until so many were heard. A caller that ends before is found out when it is joined."""
        with self._changed:
            enough = self._changed.wait_for(lambda: self._count >= answers or not self._under_way, within_s)
        assert enough, f"{self._count} answers of {answers} in {within_s:.0f} s"


class Caller(threading.Thread):
    """One connection with `window` invocations of one function in flight, each with a token of its own."""

    def __init__(self, path: Path, function: str, name: str, window: int, heed: Heed) -> None:
        super().__init__(name=name, daemon=True)
        self.heard: list[Heard] = []
        self.wrong: list[object] = []
        self._function, self._window, self._heed = function, window, heed
        self._sent = 0
        self._raw = Raw(path)
        heed.began()

    @property
    def asked(self) -> dict[str, int]:
        """How many invocations, by function."""
        return {self._function: self._sent}

    def run(self) -> None:
        try:
            self._ask(self._window)
            while True:
                self._note(self._raw.hear())
        except LOST:
            pass
        finally:
            self._raw.close()
            self._heed.ended()

    def _token(self, number: int) -> bytes:
        return json.dumps({"token": f"{self.name}-{number}"}).encode()

    def _ask(self, many: int) -> None:
        first = self._sent
        self._sent += many
        try:
            self._raw.say(*([0, n, "invoke", [self._function, self._token(n)]] for n in range(first, self._sent)))
        except LOST:
            pass  # what was answered before is still to be heard

    def _note(self, answer: list[Any]) -> None:
        _, number, error, result = answer
        if error is not None or result["function_error"] is not None or result["payload"] != self._token(number):
            self.wrong.append(answer)
            return
        self.heard.append(heard_now(result, self._function))
        self._heed.heard()
        self._ask(1)


Functions = dict[str, tuple[str, ...]]  # by name: what `N` is in each published version, then in $LATEST


class Changer(threading.Thread):
    """One connection that creates, publishes and deletes functions, one change after the other."""

    KEPT = 3  # functions at a time

    def __init__(self, path: Path, functions: Functions, numbers: count[int], code: bytes, heed: Heed) -> None:
        super().__init__(name="changer", daemon=True)
        self.answered = functions  # as the answers say
        self.pending: Functions | None = None  # as it is if the change under way was made
        self.kinds = Counter[str]()
        self.wrong: list[str] = []
        self.heard: list[Heard] = []
        self.asked = Counter[str]()
        self._numbers, self._code, self._heed = numbers, code, heed
        self._raw = Raw(path)
        heed.began()

    def run(self) -> None:
        try:
            while not self.wrong:
                self._round(next(self._numbers))
        except LOST:
            pass
        except LookupError as refused:
            self.wrong.append(str(refused))
        finally:
            self._raw.close()
            self._heed.ended()

    def _round(self, number: int) -> None:
        name, first, second = f"changing-{number}", f"{number}.1", f"{number}.2"
        settings = {"handler": "numbered.handler", "memory_mb": 1_769, "timeout_s": 60, "environment": {"N": first}}
        self._make("create_function", {**self.answered, name: (first,)}, name=name, code=self._code, **settings)
        self._make("publish_version", {**self.answered, name: (first, first)}, name=name)
        self._invoke(name, first)
        change = {"name": name, "environment": {"N": second}}
        self._make("update_function_configuration", {**self.answered, name: (first, second)}, **change)
        self._make("publish_version", {**self.answered, name: (first, second, second)}, name=name)
        ours = sorted((each for each in self.answered if each.startswith("changing-")), key=lambda each: int(each[9:]))
        for oldest in ours[: -self.KEPT]:
            left = {each: versions for each, versions in self.answered.items() if each != oldest}
            self._make("delete_function", left, name=oldest)

    def _make(self, method: str, then: Functions, **arguments: object) -> None:
        self.pending = then
        self._raw.call(method, arguments)
        self.answered, self.pending = then, None
        self.kinds[method] += 1
        self._heed.heard()

    def _invoke(self, name: str, told: str) -> None:
        self.asked[name] += 1
        result = self._raw.call("invoke", name, b"1")
        if json.loads(result["payload"]) != [told, "$LATEST", 1]:
            self.wrong.append(repr(result))
        self.heard.append(heard_now(result, name))
        self._heed.heard()
