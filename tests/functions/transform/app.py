"""Standardises the columns of a table and finds its main direction, with numpy."""

from typing import Any

import numpy as np


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Columns of `event["rows"]`, a table of numbers, with mean 0 and deviation 1, and their first principal axis."""
    table = np.asarray(event["rows"], dtype=np.float64)
    if table.ndim != 2 or len(table) < 2:
        raise ValueError(f"rows must be a table of two rows or more, not of shape {table.shape}")
    deviation = table.std(axis=0)
    scaled = (table - table.mean(axis=0)) / np.where(deviation == 0, 1, deviation)
    _, strengths, axes = np.linalg.svd(scaled, full_matrices=False)
    share = float(strengths[0] ** 2 / max(float((strengths**2).sum()), 1e-300))
    return {
        "shape": list(table.shape),
        "rows": scaled.round(6).tolist(),
        "axis": np.abs(axes[0]).round(6).tolist(),
        "share": round(share, 6),
    }
