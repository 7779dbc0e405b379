"""Which user functions run as: never root, where the engine may change the user, and never each other's."""

from __future__ import annotations

import os
from pathlib import Path

from engine.core.quarters import FIRST_UID, UIDS
from engine.sync import Engine

CODE = "import os\n\ndef handler(event, context):\n    return os.getresuid()\n"


def test_every_environment_of_a_version_has_its_user_the_first_one_too(tmp_path: Path) -> None:
    code = tmp_path / "app.py"
    code.write_text(CODE)
    with Engine() as engine:
        own = {line["limit"]: line["mechanism"] for line in engine.stats()["limits"]}["users"]
        seen = set()
        for name in ("first", "second"):
            engine.create_function(name, code=str(code), handler="app.handler")
            seen.add(tuple(engine.invoke(name).json()))
    assert all(len(set(users)) == 1 for users in seen)
    uids = {users[0] for users in seen}
    if own is None:
        assert uids == {os.getuid()}
    else:
        assert len(uids) == 2 and uids <= set(range(FIRST_UID, FIRST_UID + UIDS))
