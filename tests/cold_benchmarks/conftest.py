"""Has `benchmarks`, which is not installed, found in the tree; last, so that the tree hides no installed engine."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent.parent))
