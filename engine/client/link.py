"""F2: one connection of the asyncio client: requests go out together, answers come back by id in any order.

A call that nobody waits for any more has no entry: its answer is passed over. Requests of one turn of the loop leave in
one write. At `OUTSTANDING_MAX` calls, or while the socket takes no more, callers wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from .. import errors
from ..wire.messages import (
    IDS,
    NOTIFICATION,
    NOTIFICATION_LENGTH,
    OUTSTANDING_MAX,
    REQUEST,
    check_size,
    new_packer,
    new_unpacker,
    notified_id,
    read_answer,
)
from ..wire.streams import Inflow
from ..wire.values import error_from_map

WRITE_AT_BYTES = 65_536


class Link(asyncio.Protocol):
    """`lost` is why it can no longer be used."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self.lost: errors.EngineError | None = None
        self.calls = self.answers = self.passed_over = 0
        self.closed: asyncio.Future[None] = loop.create_future()
        self.waiting: dict[int, asyncio.Future[Any]] = {}
        self.streams: dict[int, tuple[Inflow, Callable[[], object]]] = {}
        self._loop = loop
        self._name = name
        self._pack = new_packer().pack
        self._unpacker = new_unpacker()
        self._last_id = 0
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._paused = False
        self._held: deque[asyncio.Future[None]] = deque()

    async def call(self, method: str, params: list[Any]) -> Any:
        """Send a request and wait for its answer. Raises what the other end answers, or ConnectionLostError."""
        number, answer = await self._ask(method, params)
        try:
            return await answer
        finally:
            self.forget(number)

    async def _ask(self, method: str, params: list[Any]) -> tuple[int, asyncio.Future[Any]]:
        while self.lost is None and (self._paused or len(self.waiting) >= OUTSTANDING_MAX):
            await self._room()
        if self.lost is not None:
            raise type(self.lost)(str(self.lost))
        number = self._new_id()
        request = self._pack([REQUEST, number, method, params])
        check_size(method, len(request))
        self._send(request)
        self.calls += 1
        self.waiting[number] = answer = self._loop.create_future()
        return number, answer

    def forget(self, number: int) -> None:
        """Nobody waits for this answer any more; what comes of it is passed over."""
        self.streams.pop(number, None)
        if self.waiting.pop(number, None) is not None:
            self._let_in()

    async def open_stream(
        self, params: list[Any], told: Callable[[], object]
    ) -> tuple[int, asyncio.Future[Any], Inflow]:
        """Ask for a stream: its id, the answer that will end it, and where it comes in, of which `told` is called."""
        inflow = Inflow(self._name)
        number, answer = await self._ask("invoke_stream", params)
        self.streams[number] = inflow, told

        def ended(answer: asyncio.Future[Any]) -> None:
            if not answer.cancelled():
                answer.exception()  # whoever has the stream may never ask
            told()

        answer.add_done_callback(ended)
        return number, answer, inflow

    def notify(self, method: str, params: list[Any]) -> None:
        """Say something that has no answer. Nothing on a connection that is lost."""
        if self.lost is None:
            self._send(self._pack([NOTIFICATION, method, params]))

    def _new_id(self) -> int:
        number = (self._last_id + 1) % IDS
        while number in self.waiting:
            number = (number + 1) % IDS
        self._last_id = number
        return number

    def _send(self, data: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes >= WRITE_AT_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._out and self.lost is None:
            self._transport.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
        self._out.clear()
        self._out_bytes = 0

    async def _room(self) -> None:
        """Until there may be room; the caller looks again."""
        turn = self._loop.create_future()
        self._held.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._let_in()  # the turn was this caller's: it goes to the next
            raise

    def _let_in(self) -> None:
        while self._held and not self._paused:
            turn = self._held.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    # --- called by the loop -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._unpacker.feed(data)
            for message in self._unpacker:
                self._take(message)
        except errors.ConnectionLostError as error:
            self.end(error)
        except Exception as error:  # noqa: BLE001 - msgpack raises its own, ValueError and TypeError: all mean the same
            self.end(errors.ConnectionLostError(f"{self._name} sent what is not MessagePack: {error!r}"))

    def _take(self, message: Any) -> None:
        if type(message) is list and len(message) == NOTIFICATION_LENGTH:
            self._notified(message)
            return
        number, error, result = read_answer(message)
        answer = self.waiting.pop(number, None)
        if answer is None or answer.done():
            self.passed_over += 1
            return
        self.answers += 1
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error_from_map(error))
        if self._held:
            self._let_in()

    def _notified(self, message: Any) -> None:
        stream = self.streams.get(notified_id(message))
        if stream is None:
            self.passed_over += 1
            return
        inflow, told = stream
        inflow.notices.append(message)
        inflow.came(message)
        told()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        for _ in range(len(self._held)):
            self._let_in()

    def connection_lost(self, cause: Exception | None) -> None:
        why = "it closed the connection" if cause is None else str(cause)
        self.end(errors.ConnectionLostError(f"the connection to {self._name} was lost: {why}"))
        if not self.closed.done():
            self.closed.set_result(None)

    def end(self, why: errors.EngineError) -> None:
        """Give every call under way `why`, and close. The first reason stays."""
        if self.lost is not None:
            return
        self._flush()
        self.lost = why
        waiting, self.waiting = self.waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(type(why)(str(why)))
        self._paused = False
        for _ in range(len(self._held)):
            self._let_in()
        self._transport.close()
