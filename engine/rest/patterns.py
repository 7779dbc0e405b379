"""F5: regular expressions of the service model, which are Java's, as Python's."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

# Unicode's categories within a set. Python has no name for letters alone: \w takes digits and `_` with them.
CATEGORIES: Final = {
    "L": r"\w",
    "N": r"\d\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u2089\u2150-\u2189\u2460-\u249b",
    "Z": r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
}
CATEGORY: Final = re.compile(r"\\p\{(\w+)\}")


@cache
def compiled(pattern: str) -> re.Pattern[str] | None:
    """None for what Python cannot say: a newer model may have anything, and its operation is served all the same."""
    flags = re.DOTALL if CATEGORY.search(pattern) else re.DOTALL | re.ASCII
    try:
        return re.compile(CATEGORY.sub(lambda found: CATEGORIES[found[1]], pattern), flags)
    except (re.error, KeyError):
        return None
