"""Where a function imports from, in Lambda's order, and how a process is given that and its variables."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence


def search_path(
    task_root: str,
    layers: Sequence[str],
    runtime_packages: Sequence[str],
    stdlib: Sequence[str],
    python_path: str | None = None,
) -> list[str]:
    """sys.path in Lambda's order: code, layers, the runtime's packages, standard library.

    `layers` are unpacked layers in the function's order; a later one wins, as it overwrites the earlier in /opt. A
    PYTHONPATH of the function's own (`python_path`) takes the place of the layers, as it does in Lambda.
    """
    if python_path is None:
        after_code = layer_folders(layers)
    else:
        after_code = [folder for folder in python_path.split(":") if folder]
    return list(dict.fromkeys([task_root, *after_code, *runtime_packages, *stdlib]))


def layer_folders(layers: Iterable[str]) -> list[str]:
    """The folders that layers add to the import path, the nearest first."""
    newest_first = list(layers)[::-1]
    site_packages = f"python/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    return [f"{root}/{folder}" for folder in (site_packages, "python") for root in newest_first]


def apply(environ: Mapping[str, str], path: Sequence[str]) -> None:
    """Makes these the variables, time zone and import path of this process."""
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    sys.path[:] = path
    for folder in path:
        if sys.path_importer_cache.get(folder, folder) is None:  # looked for before it was mounted
            del sys.path_importer_cache[folder]


def run_path_files(folders: Iterable[str]) -> None:
    """Obeys the `.pth` files in the code folder and the layers, as Lambda does. They may run code of the user's."""
    for folder in folders:
        if _has_path_file(folder):
            import site  # hardly any function has such a file

            site.addsitedir(folder)


def _has_path_file(folder: str) -> bool:
    try:
        return any(name.endswith(".pth") for name in os.listdir(folder))
    except OSError:
        return False
