"""F2: one connection shared by threads, without a thread of its own: one of those that wait reads for all.

Who writes, who reads: any thread sends, under `_sending`. Of the threads that wait for answers one is the leader: it
alone reads, and puts each answer into the `Waiter` it is for. Who leads is `_leader`, changed under `_mutex` only. A
thread that finds a leader sleeps on a lock of its own until its answer is there or the lead is passed to it; the leader
passes it on whenever it goes, by answer, time-out or exception. A waiter sleeps only after it has looked, under
`_mutex`, whether its answer is there and whether somebody leads, so no wake-up can be missed. The descriptor goes when
the link is lost and the last of its calls has left.

A signal's exception may strike anywhere: what was read waits in the unpacker or in `_arrived` until it is handed out
(`_behind` says that some may), handing out twice does no harm, and every way out of a call goes through `_leave`, which
may be done twice. Calls under way are bounded by the threads there are: each has one.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import deque
from typing import Any

from .. import errors
from ..wire.messages import (
    IDS,
    MESSAGE_MAX_BYTES,
    NOTIFICATION,
    NOTIFICATION_LENGTH,
    REQUEST,
    check_size,
    new_packer,
    new_unpacker,
    notified_id,
    read_answer,
)
from ..wire.streams import Inflow
from .channel import Channel, TlsChannel
from .opening import CONNECT_TIMEOUT_S, Destination

NEWS = (0, None, None)  # what a wait for a stream is answered with


class Waiter:
    """A call under way: its answer once there is one, and the lock on which its thread sleeps, if it does."""

    __slots__ = ("answer", "asleep")

    def __init__(self) -> None:
        self.answer: tuple[int, Any, Any] | None = None
        self.asleep: threading.Lock | None = None

    def wake(self) -> None:
        if self.asleep is not None and self.asleep.locked():
            self.asleep.release()


class SharedStream:
    """A stream under way: what came of it, its answer once it has ended, and the wait for either, if a thread waits."""

    __slots__ = ("answer", "inflow", "number", "waiter")

    def __init__(self, number: int, inflow: Inflow) -> None:
        self.number = number
        self.inflow = inflow
        self.answer: tuple[int, Any, Any] | None = None
        self.waiter: Waiter | None = None

    def wake(self) -> None:
        waiter = self.waiter
        if waiter is not None:
            waiter.answer = NEWS
            waiter.wake()


class SharedLink:
    """`lost` is why it can no longer be used."""

    def __init__(self, to: Destination) -> None:
        self.lost: errors.EngineError | None = None
        self.waiting: dict[int, Waiter] = {}
        self.streams: dict[int, SharedStream] = {}
        self.dropped: deque[int] = deque()  # streams that nobody has any more and the other end has not heard of
        self.calls = self.answers = self.passed_over = 0
        self._name = str(to.address)
        self._unpacker = new_unpacker()
        self._pack = new_packer().pack
        self._arrived: deque[Any] = deque()
        self._pops = iter(self._arrived.popleft, None)
        self._ids = itertools.count(1)
        self._mutex = threading.Lock()
        self._sending = threading.Lock()
        self._leader: Waiter | None = None
        self._sleepers: dict[Waiter, None] = {}
        self._behind = False
        connected = _connected(to)
        try:
            if to.tls is None:
                self._channel = Channel(connected, self._unpacker.feed)
            else:
                self._channel = TlsChannel(connected, self._unpacker.feed, to.tls, to.address.host)
        except BaseException:
            connected.close()
            raise

    def call(self, method: str, params: list[Any], deadline: float | None) -> tuple[int, Any, Any]:
        """Send a request and wait for its answer: (id, error, result). Raises ConnectionLostError, WaitTimeoutError."""
        waiter = Waiter()
        number = self._new_id()
        self.waiting[number] = waiter
        try:
            self._request(number, method, params, waiter, deadline)
            while waiter.answer is None:
                if self.lost is not None:
                    raise type(self.lost)(str(self.lost))
                self._wait(waiter, deadline)
        finally:
            try:
                self._leave(number, waiter)
            except BaseException:
                self._leave(number, waiter)
                raise
        return waiter.answer

    def open_stream(self, params: list[Any], deadline: float | None) -> SharedStream:
        """Ask for a stream."""
        number, waiter = self._new_id(), Waiter()
        stream = self.streams[number] = SharedStream(number, Inflow(self._name))
        try:
            self._request(number, "invoke_stream", params, waiter, deadline)
        except BaseException:
            self.streams.pop(number, None)
            raise
        finally:
            self._leave(~number, waiter)
        return stream

    def wait_for(self, stream: SharedStream, deadline: float | None) -> None:
        """Until something came of a stream. Raises as `call` does."""
        waiter = Waiter()
        with self._mutex:
            stream.waiter = self.waiting[~stream.number] = waiter
        try:
            while waiter.answer is None and not stream.inflow.notices and stream.answer is None:
                if self.lost is not None:
                    raise type(self.lost)(str(self.lost))
                self._wait(waiter, deadline)
        finally:
            stream.waiter = None
            self._leave(~stream.number, waiter)

    def notify(self, method: str, number: int, *more: int) -> None:
        """Say something of a stream. Nothing on a connection that is lost."""
        waiter = Waiter()
        try:
            with self._sending:
                if self.lost is None:
                    self._send(self._pack([NOTIFICATION, method, [number, *more]]), waiter, None)
        finally:
            self._leave(~number, waiter)

    def _request(self, number: int, method: str, params: list[Any], waiter: Waiter, deadline: float | None) -> None:
        with self._sending:
            if self.lost is None:
                request = self._pack([REQUEST, number, method, params])
                if len(request) > MESSAGE_MAX_BYTES:
                    check_size(method, len(request))
                while self.dropped:
                    request = self._pack([NOTIFICATION, "discard", [self.dropped.popleft()]]) + request
                self._send(request, waiter, deadline)
                self.calls += 1

    def _new_id(self) -> int:
        number = next(self._ids) % IDS
        while number in self.waiting or number in self.streams:
            number = next(self._ids) % IDS
        return number

    def end(self, why: errors.EngineError) -> None:
        """Give every call under way `why`. The first reason stays."""
        with self._mutex:
            self.lost = self.lost or why
            for waiter in list(self.waiting.values()):
                waiter.wake()
            self._channel.shut()
            self._close_if_done()

    def let_go(self) -> None:
        """In a forked process: close the descriptor and leave the connection as it is."""
        self._channel.close()

    # --- sending ------------------------------------------------------------------------------------------------------

    def _send(self, request: bytes, waiter: Waiter, deadline: float | None) -> None:
        try:
            if self._channel.send(request):
                return
            while self.lost is None and not self._channel.flush():
                self._wait_room(waiter, deadline)
        except errors.WaitTimeoutError:
            raise
        except OSError as error:
            self._lose(error)

    def _wait_room(self, waiter: Waiter, deadline: float | None) -> None:
        """The other end may take nothing before its answers are read, and there may be nobody else who reads them."""
        leads = self._lead_or_sleep(waiter, sleep=False)
        if not self._channel.wait(deadline, to_read=leads, to_write=True):
            raise errors.WaitTimeoutError("the request could not be sent in time: the other end takes nothing")
        if leads and self._channel.readable():
            self._read()

    # --- waiting ------------------------------------------------------------------------------------------------------

    def _wait(self, waiter: Waiter, deadline: float | None) -> None:
        """Lead until the answer is there, or sleep until woken. The caller looks again."""
        if self._lead_or_sleep(waiter, sleep=True):
            self._lead(waiter, deadline)
        elif waiter.asleep is not None:
            left_s = -1.0 if deadline is None else max(0.0, deadline - time.monotonic())
            if not waiter.asleep.acquire(timeout=left_s):
                raise errors.WaitTimeoutError("no answer in time")

    def _lead_or_sleep(self, waiter: Waiter, *, sleep: bool) -> bool:
        """Whether this waiter leads now. If not, and it has no answer, it is told as one that sleeps."""
        with self._mutex:
            if self._leader is None:
                self._leader = waiter
            if self._leader is waiter:
                return True
            if sleep and waiter.answer is None and self.lost is None:
                if waiter.asleep is None:
                    waiter.asleep = threading.Lock()
                    self._sleepers[waiter] = None
                waiter.asleep.acquire(blocking=False)
            else:
                waiter.wake()
            return False

    def _lead(self, waiter: Waiter, deadline: float | None) -> None:
        if self._behind:
            self._read(pull=False)  # what an interrupted leader left
        while waiter.answer is None and self.lost is None:
            if deadline is not None and not self._channel.wait(deadline, to_read=True):
                raise errors.WaitTimeoutError("no answer in time")
            self._read()

    def _read(self, *, pull: bool = True) -> None:
        """Wait for what comes, and hand out what is whole. The caller leads."""
        try:
            self._behind = True
            if pull:
                self._channel.pull()
            self._channel.settle()
            self._arrived.extend(self._unpacker)
            whole = len(self._arrived)
            self._hand_out()
            self._behind = False
            if not whole and self._channel.at_end():
                self._lose(ConnectionResetError("it closed the connection"))
        except OSError as error:
            self._lose(error)
        except errors.ConnectionLostError as error:
            self.end(error)
        except Exception as error:  # noqa: BLE001 - msgpack raises its own, ValueError and TypeError: all mean the same
            self.end(errors.ConnectionLostError(f"{self._name} sent what is not MessagePack: {error!r}"))

    def _hand_out(self) -> None:
        with self._mutex:
            arrived = self._arrived
            while arrived:
                if type(arrived[0]) is list and len(arrived[0]) == NOTIFICATION_LENGTH:
                    self._hand_notice(arrived[0])
                    continue
                answer = read_answer(arrived[0])
                waiter = self.waiting.get(answer[0])
                if waiter is None and answer[0] in self.streams:
                    self.streams[answer[0]].answer = answer
                    self.streams[answer[0]].wake()
                    self.answers += 1
                elif waiter is None:
                    self.passed_over += 1
                else:
                    waiter.answer = answer
                    if waiter.asleep is not None:
                        waiter.wake()
                    self.answers += 1
                arrived.popleft()

    def _hand_notice(self, message: list[Any]) -> None:
        """Of a stream: moved in one step, so that an exception loses nothing of it and repeats nothing."""
        stream = self.streams.get(notified_id(message))
        if stream is None:
            self.passed_over += 1
            self._arrived.popleft()
            return
        stream.inflow.notices.extend(itertools.islice(self._pops, 1))
        stream.wake()
        stream.inflow.came(message)

    def _leave(self, number: int, waiter: Waiter) -> None:
        """The call ends, however it does; a leader's place goes to one that sleeps."""
        self.waiting.pop(number, None)
        if waiter.answer is not None and waiter.asleep is None and self._leader is not waiter and self.lost is None:
            return  # nobody with an answer is made leader
        with self._mutex:
            self._sleepers.pop(waiter, None)
            if self._leader is waiter:
                self._leader = next((each for each in self._sleepers if each.answer is None), None)
                if self._leader is not None:
                    self._leader.wake()
            self._close_if_done()

    def _close_if_done(self) -> None:
        if self.lost is not None and not self.waiting:
            self._channel.close()

    def _lose(self, error: OSError) -> None:
        why = error.strerror or str(error)
        self.end(errors.ConnectionLostError(f"the connection to {self._name} was lost: {why}"))


def _connected(to: Destination) -> socket.socket:
    """A socket to there; its time-out is that of connecting and of a TLS handshake."""
    if not to.address.path:
        connected = socket.create_connection((to.address.host, to.address.port), timeout=CONNECT_TIMEOUT_S)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected
    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.settimeout(CONNECT_TIMEOUT_S)
        connected.connect(to.address.path)
    except BaseException:
        connected.close()
        raise
    return connected
