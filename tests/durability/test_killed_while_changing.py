"""Killed at any moment, a catalog has every change that was answered, and at most the one that was being made."""

from __future__ import annotations

import json
import random
import select
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mutations import change, exact, opened

from engine.store.layers import all_versions
from engine.store.snapshot import FunctionRecord, LayerRecord
from engine.store.storage import Storage

Start = Callable[..., "subprocess.Popen[str]"]
ROUNDS = 24
CHANGES_MAX = 40  # answered before a kill
LATER_MAX_S = 0.004  # longer than most changes take


def test_killed_at_any_moment_it_has_what_was_answered_and_at_most_one_more(start: Start, tmp_path: Path) -> None:
    drawn = random.Random()
    oracle = opened(tmp_path / "oracle", durable=False)  # repeats every change and is never killed
    made, extras = 0, 0
    for _ in range(ROUNDS):
        child = start("mutations.py", tmp_path / "data", made)
        answered = answers_until_killed(child, drawn.randrange(CHANGES_MAX), drawn.random() * LATER_MAX_S)
        until = made_by(answered, made)
        while made < until:
            change(oracle, made)
            made += 1
        storage = opened(tmp_path / "data")
        if exact(storage.catalog.snapshot) != answered[-1][1]:
            change(oracle, made)  # the change that was being made when the kill came
            made += 1
            extras += 1
        assert comparable(storage) == comparable(oracle), f"after {made} changes"
        assert_code_is_whole(storage)
        storage.close()
    oracle.close()
    assert made > ROUNDS
    assert extras <= ROUNDS


def answers_until_killed(child: subprocess.Popen[str], count: int, later_s: float) -> list[list[Any]]:
    """What the child had answered when it died: `count` answers and what came in `later_s` more."""
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(count + 1)]  # the first says that it is open
    select.select([], [], [], later_s)  # to die at another point of a change each time; nothing waits for this
    child.kill()
    lines += child.stdout.readlines()
    child.wait()
    return [json.loads(line) for line in lines if line.endswith("\n")]


def made_by(answered: list[list[Any]], before: int) -> int:
    numbers = [number for number, _ in answered[1:]]
    assert numbers == [*range(before, before + len(numbers))]
    return before + len(numbers)


def comparable(storage: Storage) -> object:
    """Everything but what is drawn anew when a change is repeated."""
    functions = storage.catalog.snapshot.functions
    # A number is remembered from the deletion on; while a function is there its record has the number.
    remembered = {name: number for name, number in storage.catalog._next_versions.items() if name not in functions}
    kept = [(each.key, each.document, each.function) for each in storage.catalog.list_resources("policy")]
    layers = {name: _layer(record) for name, record in storage.catalog.snapshot.layers.items()}
    return {name: _record(record) for name, record in functions.items()}, remembered, kept, layers, [*layers]


def _layer(record: LayerRecord) -> object:
    versions = record.versions.values()
    return record.next_version, [(each.version, each.code.sha256, each.description) for each in versions]


def _record(record: FunctionRecord) -> object:
    def bare(configuration: Any) -> Any:
        if configuration is None:
            return None
        code, *layers = (
            replace(each, root=Path(each.root.name)) for each in (configuration.code, *configuration.layers)
        )
        return replace(configuration, code=code, layers=tuple(layers), revision_id="", last_modified="")

    return (
        [bare(each) for each in (*record.all_configurations(), record.published)],
        {name: replace(alias, revision_id="") for name, alias in record.aliases.items()},
        (record.next_version, record.reserved_concurrency),
    )


def assert_code_is_whole(storage: Storage) -> None:
    """Every bundle that is referred to, and nothing else."""
    snapshot = storage.catalog.snapshot
    configurations = [each for record in snapshot.functions.values() for each in record.all_configurations()]
    bundles = [stored for each in configurations for stored in (each.code, *each.layers)]
    bundles += [each.code for each in all_versions(snapshot.layers)]
    names = {f"{stored.root.name}{suffix}" for stored in bundles for suffix in ("", ".zip", ".unpacked")}
    assert {path.name for path in storage.code.root.iterdir()} == {".lock", *names}
    for stored in bundles:
        storage.code.check(stored, "f")
        assert (stored.root / "app.py").read_text().startswith("number = ")
        assert storage.code.references(stored) == bundles.count(stored)


def test_a_full_disk_refuses_a_change_and_shows_nothing_of_it(start: Start, tmp_path: Path) -> None:
    """The limit on a file's size stands for the disk's: the write itself is refused, by the kernel."""
    child = start("mutations.py", tmp_path / "data", 0, 100_000)
    told, _ = child.communicate()
    assert child.returncode == 0
    unchanged, number, message, last = json.loads(told.splitlines()[-1])
    assert unchanged
    assert number > 5
    assert f"because {tmp_path}/data/catalog.db could not be written" in message
    storage = opened(tmp_path / "data")
    assert exact(storage.catalog.snapshot) == last
    storage.close()
