"""F3: a name that leads to more than one lane: which of them an invocation goes to."""

from __future__ import annotations

from dataclasses import dataclass

from .._ext.lane import Lane
from .pools import Pool

_DRAWN_BYTES = 6  # of a request id, before the bits that say what kind of UUID it is


@dataclass(frozen=True, slots=True)
class Split:
    """`weight` of what comes goes to `additional`, the rest to `lane`."""

    lane: Lane
    additional: Lane
    weight: float

    @property
    def lanes(self) -> tuple[Lane, Lane]:
        return self.lane, self.additional

    def drawn(self, draw: float) -> Lane:
        """The lane for a random number from 0 to below 1."""
        return self.additional if draw < self.weight else self.lane

    def lane_of(self, request_id: bytes) -> Lane:
        """Always the same for a request: an event that is tried again runs on the version that it ran on before."""
        return self.drawn(_place_of(request_id))

    def shares(self, count: int) -> tuple[tuple[Lane, int], tuple[Lane, int]]:
        """How many of so many are to be expected in each."""
        additional = round(count * self.weight)
        return (self.lane, count - additional), (self.additional, additional)


@dataclass(frozen=True, slots=True)
class Tenanted:
    """A function's that keeps tenants apart: the pools of one version, or of two, whose tenants' lanes are gone to."""

    home: Pool
    additional: Pool | None = None
    weight: float = 0.0

    def drawn(self, draw: float) -> Pool:
        """The version for a random number from 0 to below 1."""
        return self.home if self.additional is None or draw >= self.weight else self.additional

    def home_of(self, request_id: bytes) -> Pool:
        """Always the same for a request, as `Split.lane_of`."""
        return self.drawn(_place_of(request_id))

    def lane_of(self, request_id: bytes) -> Lane:
        """That of the version, which stands for it where it is not known yet whose an invocation is."""
        return self.home_of(request_id).lane


def _place_of(request_id: bytes) -> float:
    """From 0 to below 1, and as good as random."""
    return int.from_bytes(request_id[:_DRAWN_BYTES], "big") / (1 << 8 * _DRAWN_BYTES)
