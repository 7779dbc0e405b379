"""One hostile function. Its event names the attack; without one it behaves and says how often it was called."""

from __future__ import annotations

from typing import Any

import answers
import channel
import endings
import hogs
import natives
import network
import reach
import remains

ROOMS = (answers, channel, endings, hogs, natives, network, reach, remains)
served = 0


def handler(event: dict[str, Any], context: Any) -> Any:
    global served
    served += 1
    if not event:
        return {"served": served}
    print("attacking")
    (attack,) = (getattr(room, event["attack"]) for room in ROOMS if hasattr(room, event["attack"]))
    return attack(**event.get("how", {}))
