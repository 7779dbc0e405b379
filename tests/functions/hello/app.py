"""The smallest function that a user would write: no dependency, one printed line, one logged line."""

import logging
from typing import Any

logger = logging.getLogger()
logger.setLevel(logging.INFO)


def handler(event: dict[str, Any] | None, context: Any) -> dict[str, str]:
    """Greets `event["name"]`."""
    name = (event or {}).get("name", "world")
    print(f"hello called for {name}")
    logger.info("greeting %s", name)
    return {"message": f"Hello, {name}!"}
