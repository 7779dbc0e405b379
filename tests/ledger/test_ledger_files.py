"""The files of the ledger: what is written is read back, and what is damaged is never taken for a record."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keeping import COLD, GIB, HELLO, PROVISIONED, RESIZE, at, kept, ledger, line, put, requests

from engine._ext.journal import CHUNK_RECORDS, Tally, checksum
from engine.records import segments
from engine.records.replay import replay, uses_of
from engine.records.rollups import Position, Use
from engine.records.segments import RECORD, Batch, Damage, Line, Source

U64, U32 = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)
INIT_NS = st.integers(0, 900 * 10**9)
WORDS = st.text(min_size=1, max_size=20)
SOURCES = st.builds(Source, WORDS, WORDS, WORDS, st.integers(128, 10_240), st.integers(512, 10_240), WORDS)
LINES = st.builds(
    Line, st.binary(min_size=16, max_size=16), U64, U64, U64, INIT_NS, st.integers(0, 2), U32, U32,
    st.integers(0, 10_240), st.integers(0, 3), st.integers(0, 4),
)  # fmt: skip


def slow_crc32c(data: bytes) -> int:
    """The definition, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_the_check_sum_has_its_known_value() -> None:
    assert checksum(b"123456789") == checksum(b"123456789", by_table=True) == 0xE3069283


@given(st.binary(max_size=100))
def test_the_check_sum_is_crc_32c_with_and_without_the_processors_instruction(data: bytes) -> None:
    assert checksum(data) == checksum(data, by_table=True) == slow_crc32c(data)


@settings(deadline=None, max_examples=40)
@given(st.lists(SOURCES, min_size=3, max_size=3, unique=True), st.lists(st.lists(LINES, max_size=40), max_size=5))
def test_what_is_written_is_read_back_and_added_up(sources: list[Source], batches: list[list[Line]]) -> None:
    with TemporaryDirectory(prefix="segments-") as name:
        folder = Path(name)
        with ledger(folder, *sources) as opened:
            for batch in batches:
                put(opened, *batch)
                opened.flush()
            total = sum(use.billed_ms for _, use in opened.rollups.sums("version")[0])
        sums = replay(folder, Position(0, 0, 0)).uses
        written = [(each, sources[each.source]) for batch in batches for each in batch]
        assert kept(folder) == written
        told = Counter((*source[:3], source.memory_mb, source.region) for _, source in written)
        found = Counter[tuple[object, ...]]()
        for key, use in sums.items():
            found[key.function, key.version, key.architecture, key.memory_mb, key.region] += use.requests
        assert found == told
        assert total == sum(use.billed_ms for use in sums.values()) == sum(each.billed_ms for each, _ in written)
        assert sum(use.mb_ms for use in sums.values()) == sum(each.billed_ms * s.memory_mb for each, s in written)


@given(st.lists(LINES, max_size=300))
def test_a_tally_counts_as_a_dictionary_does(lines: list[Line]) -> None:
    expected: dict[tuple[int, int], Use] = {}
    for each in lines:
        use = expected.setdefault((each.source, each.ended_ns // segments.NS_PER_DAY), Use())
        outcomes = [each.outcome == number for number in range(1, 5)]
        ahead = each.start == PROVISIONED
        counts = each.start == COLD, each.billed_ms, 0, 0, each.init_ns, ahead, each.billed_ms * ahead
        use.add(Use(1, *outcomes, *counts))
    tally = Tally()
    tally.add(b"".join(RECORD.pack(*each) for each in lines))
    found = {
        (source, day): Use(sum(outcomes), *outcomes[1:], colds, billed_ms, 0, 0, *rest)
        for source, day, outcomes, colds, billed_ms, *rest in tally.drain()
    }
    assert found == expected
    assert (tally.count, tally.drain()) == (0, [])


def test_a_tally_grows_with_its_rows() -> None:
    lines = [line(source=number % 5_000, ended_ns=number % 3 * segments.NS_PER_DAY) for number in range(30_000)]
    tally = Tally()
    tally.add(b"".join(RECORD.pack(*each) for each in lines))
    assert tally.count == 15_000
    assert {row[2] for row in tally.drain()} == {(2, 0, 0, 0, 0)}


def test_records_that_are_not_whole_are_refused() -> None:
    with pytest.raises(ValueError, match="65 bytes are no whole number of records"):
        Tally().add(bytes(65))
    with pytest.raises(ValueError, match="a record has 64 bytes, not 63"), ledger(None) as opened:
        opened.journal.record(bytes(63))


def three_batches(folder: Path) -> tuple[Path, list[Batch]]:
    """A ledger of which only the first two batches are in the saved sums."""
    with ledger(folder) as opened:
        put(opened, line(), line(source=1))
        opened.flush()
        put(opened, line())
        opened.flush()
    shutil.copy(folder / "rollups.db", folder / "before")
    with ledger(folder) as opened:
        put(opened, line(), line(source=1), line())
    (folder / "before").replace(folder / "rollups.db")
    segment = segments.path_of(folder, 0)
    return segment, [each for each in segments.read(segment) if isinstance(each, Batch)]


def test_a_tail_torn_at_any_byte_is_cut_off_and_everything_before_it_counts_once(tmp_path: Path) -> None:
    whole, batches = three_batches(tmp_path / "whole")
    assert [batch.count for batch in batches] == [2, 1, 3]
    for length in range(batches[-1].offset, batches[-1].end + 1):
        folder = tmp_path / str(length)
        folder.mkdir()
        shutil.copy(whole.parent / "rollups.db", folder)
        segment = segments.path_of(folder, 0)
        segment.write_bytes(whole.read_bytes()[:length])
        torn = length - batches[-1].offset
        if 0 < torn < batches[-1].end - batches[-1].offset:
            with pytest.warns(RuntimeWarning, match=f" {torn} damaged bytes at {batches[-1].offset} were cut off"):
                check_reopened(folder, 3)
        else:
            check_reopened(folder, 3 if torn == 0 else 6)
        shutil.rmtree(folder)


def check_reopened(folder: Path, expected: int) -> None:
    with ledger(folder) as opened:
        assert requests(opened) == expected
        put(opened, line())
        assert requests(opened) == expected + 1
    assert [each[0].source for each in kept(folder)][:3] == [0, 1, 0]
    assert len(kept(folder)) == expected + 1
    assert not any(isinstance(each, Damage) for each in segments.read(segments.path_of(folder, 0)))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_flipped_bit_costs_its_own_batch_and_no_other(data: st.DataObject) -> None:
    with TemporaryDirectory(prefix="segments-") as name:
        segment, batches = three_batches(Path(name) / "ledger")
        raw = bytearray(segment.read_bytes())
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] ^= 1 << data.draw(st.integers(0, 7))
        segment.write_bytes(raw)
        hit = next(batch for batch in batches if batch.offset <= place < batch.end)
        found = list(segments.read(segment))
        assert [each for each in found if isinstance(each, Batch)] == [each for each in batches if each is not hit]
        is_last = hit is batches[-1]
        assert [each for each in found if isinstance(each, Damage)] == [Damage(hit.offset, hit.end, is_last)]


def test_a_hole_is_left_out_with_a_warning_and_what_follows_it_counts(tmp_path: Path) -> None:
    segment, batches = three_batches(tmp_path / "ledger")
    (segment.parent / "rollups.db").unlink()
    raw = bytearray(segment.read_bytes())
    raw[batches[1].end - 1] ^= 1
    segment.write_bytes(raw)
    with pytest.warns(RuntimeWarning, match=f"damaged bytes at {batches[1].offset} were left out"):
        with ledger(segment.parent) as opened:
            assert requests(opened) == 5


def test_a_batch_that_was_written_twice_counts_once(tmp_path: Path) -> None:
    """As after a sync that failed, when the batch went to the next segment and yet survived in the first."""
    segment, batches = three_batches(tmp_path / "ledger")
    twice = segment.read_bytes()[batches[-1].offset :]
    segments.path_of(segment.parent, 1).write_bytes(twice)
    assert len(kept(segment.parent)) == 6
    with ledger(segment.parent) as opened:
        assert requests(opened) == 6


def test_a_segment_can_be_read_alone_from_every_place_up_to_which_it_was_counted(tmp_path: Path) -> None:
    with ledger(tmp_path) as opened:
        for _ in range(3):
            put(opened, line(source=1), line())
            opened.flush()
            place = opened.rollups.position().offset
            put(opened, line(source=1))
            opened.flush()
            batch = next(segments.read(segments.path_of(tmp_path, 0), place))
            assert isinstance(batch, Batch)
            assert batch.definitions == {1: RESIZE}


def test_a_full_chunk_is_one_batch_and_nothing_is_lost_between_two(tmp_path: Path) -> None:
    with ledger(tmp_path) as opened:
        put(opened, *[line(environment=number) for number in range(CHUNK_RECORDS * 2 + 5)])
        assert requests(opened) == CHUNK_RECORDS * 2 + 5
    counts = [each.count for each in segments.read(segments.path_of(tmp_path, 0)) if isinstance(each, Batch)]
    assert max(counts) == CHUNK_RECORDS
    assert [each.environment for each, _ in kept(tmp_path)] == list(range(CHUNK_RECORDS * 2 + 5))


def test_a_day_ends_at_midnight_utc() -> None:
    tally = Tally()
    for ended_ns in (at("2026-11-30T23:59:59") + 999_999_999, at("2026-12-01T00:00")):
        tally.add(RECORD.pack(*line(ended_ns=ended_ns)))
    assert [key.day for key, _ in uses_of(tally, {0: HELLO})] == ["2026-11-30", "2026-12-01"]


def test_segments_rotate_and_the_oldest_go_while_the_sums_stay(tmp_path: Path) -> None:
    bound = 1 << 20
    written = 0
    with ledger(tmp_path, ledger_bytes=bound) as opened:
        for _ in range(100):
            put(opened, *[line() for _ in range(500)])
            written += 500
            opened.flush()
        assert requests(opened) == written
    sizes = [segments.path_of(tmp_path, number).stat().st_size for number in segments.numbers(tmp_path)]
    assert sum(sizes) <= bound < written * 64
    assert len(sizes) >= 3
    assert max(sizes) < bound // 4 + 64_000
    rest = [int.from_bytes(each.request_id, "big") for each, _ in kept(tmp_path)]
    assert rest == list(range(rest[0], rest[-1] + 1))
    (tmp_path / "rollups.db").unlink()
    with ledger(tmp_path, ledger_bytes=GIB) as opened:  # the sums are gone: what is left of the records is counted
        assert requests(opened) == len(rest)
