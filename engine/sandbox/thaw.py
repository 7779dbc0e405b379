"""F1: lets what is frozen below a cgroup v1 directory die. For whoever survives an engine that was killed."""

from __future__ import annotations

import os


def thaw_below(folder: int) -> None:
    """Thaw every cell in the directory that a descriptor leads to. Never raises for one of them."""
    for name in os.listdir(folder):
        try:
            state = os.open(f"{name}/freezer.state", os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
        except OSError:
            continue  # no cell, or gone by now
        try:
            os.write(state, b"THAWED")
        except OSError:
            pass  # removed just now
        finally:
            os.close(state)
