"""Comparisons measured side by side in one run: `python -m benchmarks`. Nothing here is part of the engine."""
