"""F1: what segments hold beyond the saved sums, added up: for opening a ledger again, and for reading one offline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from .. import config
from .._ext.journal import Tally
from . import segments
from .rollups import Position, RollupKey, Use, add_up
from .segments import Damage, Source

EPOCH: Final = date(1970, 1, 1).toordinal()
# Whose definition lay in a damaged part of its segment: its requests are counted, its memory is not known.
UNKNOWN: Final = Source("(unknown)", "", "x86_64", 0, config.EPHEMERAL_MIN_MB, config.REGION_DEFAULT)


@dataclass(frozen=True, slots=True)
class Replayed:
    """Sums of what lies beyond the position that was asked for, and up to where they go."""

    uses: dict[RollupKey, Use]
    position: Position
    damage: tuple[tuple[Path, Damage], ...]


def replay(folder: Path, start: Position) -> Replayed:
    """Everything after `start`. A sequence number that was counted is not counted again."""
    rows: list[tuple[RollupKey, Use]] = []
    damage: list[tuple[Path, Damage]] = []
    position = start
    for number in segments.numbers(folder):
        if number >= start.segment:
            path = segments.path_of(folder, number)
            offset = min(start.offset, path.stat().st_size) if number == start.segment else 0
            position = _replay_segment(path, Position(number, offset, position.sequence), rows, damage)
    return Replayed(add_up(rows), position, tuple(damage))


def _replay_segment(
    path: Path, position: Position, rows: list[tuple[RollupKey, Use]], damage: list[tuple[Path, Damage]]
) -> Position:
    tally = Tally()
    sources: dict[int, Source] = {}
    end, sequence = position.offset, position.sequence
    for found in segments.read(path, position.offset):
        if isinstance(found, Damage):
            damage.append((path, found))
            continue
        if any(sources.get(number, source) != source for number, source in found.definitions.items()):
            rows += uses_of(tally, sources)  # an engine opened anew numbers its sources anew
        sources.update(found.definitions)
        if found.base >= sequence:
            tally.add(found.records)
            sequence = found.base + found.count
        end = found.end
    rows += uses_of(tally, sources)
    return Position(position.segment, end, sequence)


def uses_of(tally: Tally, sources: Mapping[int, Source]) -> list[tuple[RollupKey, Use]]:
    """What a tally has counted since it was last asked."""
    return [_use(sources.get(row[0], UNKNOWN), *row[1:]) for row in tally.drain()]


def _use(
    source: Source,
    day: int,
    outcomes: tuple[int, int, int, int, int],
    colds: int,
    billed_ms: int,
    init_ns: int,
    provisioned: int,
    provisioned_ms: int,
) -> tuple[RollupKey, Use]:
    key = key_of(source, day)
    extra_mb = max(0, source.ephemeral_mb - config.EPHEMERAL_MIN_MB)
    mb_ms, ephemeral_mb_ms = billed_ms * source.memory_mb, billed_ms * extra_mb
    provisioned_mb_ms = provisioned_ms * source.memory_mb
    counts = colds, billed_ms, mb_ms, ephemeral_mb_ms, init_ns, provisioned, provisioned_mb_ms
    return key, Use(sum(outcomes), *outcomes[1:], *counts)


def key_of(source: Source, day: int) -> RollupKey:
    """Under which sums what a configuration did is counted; `day` is of Unix time."""
    date_text = date.fromordinal(EPOCH + day).isoformat()
    return RollupKey(source.function, source.version, date_text, source.architecture, source.memory_mb, source.region)
