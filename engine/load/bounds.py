"""F5: what the command's options may be at most, and what they are where they are not given."""

from __future__ import annotations

from typing import Final

COUNT_MAX: Final = 10_000_000
DURATION_S: Final = 10.0
DURATION_MAX_S: Final = 86_400.0
OUTSTANDING_MAX: Final = 100_000
CONCURRENCY: Final = 64
MAX_OUTSTANDING: Final = 1_000
