"""The queue's two implementations behind one surface, with a way to forge what lies in their region."""

from __future__ import annotations

import os
from typing import Any, Protocol

from oracle import OracleCore, OracleEnvironment, OracleRegion

from engine._ext.linux import Mapping, create_region
from engine._ext.queue import FIELDS, CoreEnd, EnvironmentEnd

SLOTS = 1024


class Kit(Protocol):
    """`forge` writes what no honest end would; for `done_cell`, `at` is environment * SLOTS + position."""

    core: Any

    def environment(self, index: int) -> Any: ...
    def forge(self, name: str, value: int, at: int = 0) -> None: ...


class CompiledKit:
    def __init__(self) -> None:
        self.mapping = new_mapping()
        self.core = CoreEnd(self.mapping)

    def environment(self, index: int) -> EnvironmentEnd:
        return EnvironmentEnd(self.mapping, index)

    def forge(self, name: str, value: int, at: int = 0) -> None:
        forge(self.mapping, name, value, at)


class OracleKit:
    def __init__(self) -> None:
        self.region = OracleRegion()
        self.core = OracleCore(self.region)

    def environment(self, index: int) -> OracleEnvironment:
        return OracleEnvironment(self.region, index)

    def forge(self, name: str, value: int, at: int = 0) -> None:
        if name in ("ready_head", "ready_tail"):
            setattr(self.region, name, value)
        elif name == "ready_cell":
            self.region.ready[at] = (value >> 16, value & 0xFFFF)
        elif name == "done_tail":
            self.region.records[at].done_tail = value
        elif name == "done_cell":
            self.region.records[at // SLOTS].done[at % SLOTS] = value
        elif name == "word":
            self.region.words[at] = (value >> 56, value >> 40 & 0xFFFF, value & (1 << 40) - 1)
        elif name == "finished":
            self.region.finished |= {at * 64 + bit for bit in range(64) if value >> bit & 1}
        else:
            raise ValueError(f"the oracle has no {name}")


class BothKit:
    """Every call goes to both; they must answer alike."""

    def __init__(self) -> None:
        self.kits: list[Kit] = [CompiledKit(), OracleKit()]
        self.core = _Both([kit.core for kit in self.kits])

    def environment(self, index: int) -> _Both:
        return _Both([kit.environment(index) for kit in self.kits])

    def forge(self, name: str, value: int, at: int = 0) -> None:
        for kit in self.kits:
            kit.forge(name, value, at)


class _Both:
    def __init__(self, ends: list[Any]) -> None:
        self._ends = ends

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: int) -> Any:
            compiled, oracle = (getattr(end, name)(*arguments) for end in self._ends)
            assert compiled == oracle, f"{name}{arguments} gave {compiled} compiled and {oracle} by the oracle"
            return compiled

        return call


def word(phase: int, owner: int, generation: int) -> int:
    """The 64 bits of a slot's word."""
    return phase << 56 | owner << 40 | generation


def new_mapping() -> Mapping:
    """A fresh region, mapped; its descriptor is closed."""
    fd = create_region("engine-queue-test")
    try:
        return Mapping(fd)
    finally:
        os.close(fd)


def forge(mapping: Mapping, name: str, value: int, at: int = 0) -> None:
    first, stride, width = FIELDS[name]
    mapping.poke(first + stride * at, (value & (1 << 8 * width) - 1).to_bytes(width, "little"))


def put_body(mapping: Mapping, slot: int, body: bytes) -> None:
    first, stride, _ = FIELDS["body"]
    mapping.poke(first + stride * slot, body)


def field(mapping: Mapping, name: str, at: int = 0) -> int:
    first, stride, width = FIELDS[name]
    return int.from_bytes(mapping.peek(first + stride * at, width), "little")
