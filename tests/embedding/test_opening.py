"""An engine that cannot open says why and leaves nothing behind; the session's own check looks for what is left."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from holdings import holdings

from engine import errors
from engine.sandbox import choose
from engine.sandbox.cgroup1 import Cgroup1
from engine.sandbox.contract import MechanismUnavailableError
from engine.sync import Engine


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"sandbox": "stirct"}, "sandbox='stirct': choose one of 'auto', 'strict', 'off'"),
        ({"scaling": "none"}, "scaling='none'"),
        ({"cpu": "all"}, "cpu='all'"),
        ({"network": "lan"}, "network='lan': choose one of 'host', 'loopback', 'none', or None"),
        ({"account_concurrency": 0}, "account_concurrency=0"),
        ({"keep_alive_s": -1}, "keep_alive_s=-1"),
    ],
)
def test_a_setting_that_is_not_one_is_named(settings: dict[str, object], told: str) -> None:
    with pytest.raises(errors.InvalidParameterValueException, match=told):
        Engine(**settings)  # type: ignore[arg-type]


def test_a_strict_sandbox_opens_where_nothing_is_missing() -> None:
    with Engine() as auto:
        missing = [line for line in auto._engine._supervisor.enforcement() if line.mechanism is None]
    if missing:
        with pytest.raises(errors.SandboxUnavailableError):
            Engine(sandbox="strict").open()
    else:
        with Engine(sandbox="strict") as strict:
            assert strict.list_functions() == []


def test_a_strict_sandbox_says_what_is_missing_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> Cgroup1:
        raise MechanismUnavailableError("the tree is read-only")

    monkeypatch.setattr(choose, "_CANDIDATES", (refused,))
    before = holdings()
    with pytest.raises(errors.SandboxUnavailableError, match=r"cpu \(.*the tree is read-only"):
        Engine(sandbox="strict").open()
    assert holdings() == before


def test_a_data_folder_that_cannot_be_used_leaves_no_process_and_no_descriptor(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    before, children = holdings(), set(psutil.Process().children(recursive=True))
    for _ in range(3):
        with pytest.raises(OSError, match="file"):
            Engine(data_dir=file).open()
    assert holdings() == before
    assert set(psutil.Process().children(recursive=True)) == children


def test_an_engine_opens_after_it_failed_to(tmp_path: Path) -> None:
    engine = Engine(data_dir=tmp_path / "data")
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(OSError, match="data"):
        engine.open()
    (tmp_path / "data").unlink()
    with engine:
        assert engine.list_functions() == []
