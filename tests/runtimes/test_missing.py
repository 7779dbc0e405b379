"""What is said of a runtime that this host cannot run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from doors import DOORS

from engine.errors import InvalidParameterValueException
from engine.runtimes import catalog
from engine.runtimes.contract import Interpreter, RuntimeMissingError
from engine.runtimes.provided import Provided

EMPTY_ZIP = b"PK\5\6" + bytes(18)


class Absent(Provided):
    """A language of which the host has nothing."""

    name = "absent"

    def serves(self, runtime: str) -> bool:
        return runtime == "java25"

    def installed(self) -> Sequence[Interpreter]:
        return ()

    def choose(self, runtime: str) -> Interpreter:
        raise RuntimeMissingError(f"{runtime} needs a JDK, which this host lacks: apt-get install jdk")


@pytest.mark.parametrize("name", list(DOORS))
def test_a_function_whose_language_is_missing_is_refused_with_the_command_that_installs_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "LANGUAGES", (Absent(),))
    with DOORS[name]() as door, pytest.raises(InvalidParameterValueException, match="apt-get install jdk") as refused:
        door.create_function("f", code=EMPTY_ZIP, handler="a.b", runtime="java25")
    assert refused.value.type == "InvalidParameterValueException", "the name that clients and the REST API are told"


@pytest.mark.parametrize("runtime", ["nodejs20.x", "provided.al2023"])
def test_snap_start_is_refused_where_no_snapshot_can_be_made(runtime: str) -> None:
    with (
        DOORS["blocking"]() as door,
        pytest.raises(InvalidParameterValueException, match="not supported for SnapStart"),
    ):
        door.create_function("f", code=EMPTY_ZIP, handler="x.y", runtime=runtime, snap_start=True)
