"""What a function may reach and whether it starts from snapshots are settings as others, of older folders too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.clock import VirtualClock
from engine.model import StoredCode
from engine.settings import EngineSettings
from engine.store.catalog import Catalog
from engine.store.rows import Reader, configuration_text

CODE = StoredCode("c2hh", 1, Path("/code/sha"), 3)
SETTINGS: dict[str, Any] = {
    "data_dir": None,
    "scaling": "adaptive",
    "cpu": "lambda",
    "account_concurrency": 1_000,
    "keep_alive_s": 600,
    "keep_alive_policy": "fixed",
    "eviction": "least-recently-used",
    "memory_budget_mb": None,
    "region": "us-east-1",
    "account_id": "000000000000",
    "strict_runtimes": False,
    "credentials": {},
    "ledger_bytes": 1 << 30,
}


@pytest.mark.parametrize(
    ("sandbox", "network", "default"),
    [
        ("auto", None, "host"),
        ("off", None, "host"),
        ("strict", None, "loopback"),
        ("strict", "host", "host"),
        ("auto", "none", "none"),
    ],
)
def test_functions_that_do_not_say_what_they_reach_get_the_engines_default(
    sandbox: Any, network: Any, default: str
) -> None:
    assert EngineSettings(**SETTINGS, sandbox=sandbox, network=network).default_network == default


def test_only_published_versions_start_from_a_snapshot() -> None:
    catalog = Catalog(clock=VirtualClock())
    made = catalog.create_function("f", CODE, handler="a.b", runtime="python3.11", snap_start=True).new
    version = catalog.publish_version("f").new
    assert made is not None and version is not None
    assert (made.snap_start, made.starts_from_snapshot) == (True, False)
    assert (version.snap_start, version.starts_from_snapshot) == (True, True)
    catalog.update_configuration("f", snap_start=False, network="none")
    assert catalog.resolve("f", "1").starts_from_snapshot
    assert catalog.resolve("f").network == "none"
    again = catalog.publish_version("f").new
    assert again is not None and (again.version, again.starts_from_snapshot, again.network) == ("2", False, "none")


def test_what_an_older_engine_wrote_reads_as_the_defaults() -> None:
    catalog = Catalog(clock=VirtualClock())
    made = catalog.create_function("f", CODE, handler="a.b", runtime="python3.11", network="none", snap_start=True).new
    assert made is not None
    older = json.loads(configuration_text(made))
    del older["network"], older["snap_start"], older["dead_letter_target_arn"]
    read = Reader(Path("/code")).configuration(json.dumps(older))
    assert (read.network, read.snap_start, read.dead_letter_target_arn) == (None, False, None)
