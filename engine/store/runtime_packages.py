"""F1: the packages that Lambda's Python runtime ships beside the standard library, as a folder of symlinks.

The folder holds them and what they require, and nothing else of this interpreter's environment, so that
a function sees what it would see in Lambda.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from ..errors import WorkerStartError

# https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html ("Runtime-included SDK versions")
SHIPPED: Final = ("boto3", "simplejson", "snapshot-restore-py")

_NAME = re.compile(r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[(?P<extras>[^\]]*)\])?")
_NEVER_LINKED: Final = frozenset({"..", "__pycache__", "", "/"})


def link_runtime_packages(target: Path) -> Path:
    """Make `target` a folder of symlinks to the shipped packages, their .dist-info too; gives `target` back.

    A folder left by an earlier call is brought up to date. Raises `WorkerStartError` when a package is missing, or was
    not installed in a way that says which files it has; `FileExistsError` when `target` holds anything but symlinks.
    """
    wanted = {name: source for found in _closure() for name, source in _top_level(found)}
    target.mkdir(parents=True, exist_ok=True)
    for entry in target.iterdir():
        if not entry.is_symlink():
            raise FileExistsError(f"{entry} is not a symlink: give a folder that nothing else uses")
        entry.unlink()
    for name, source in wanted.items():
        (target / name).symlink_to(source)
    return target


def _closure() -> list[metadata.Distribution]:
    """The shipped distributions and all that they require here."""
    found: dict[str, metadata.Distribution] = {}
    pending = [(name, frozenset[str](), "the engine") for name in SHIPPED]
    seen: set[tuple[str, frozenset[str]]] = set()
    while pending:
        name, extras, wanted_by = pending.pop()
        if (_canonical(name), extras) in seen:
            continue
        seen.add((_canonical(name), extras))
        distribution = found.setdefault(_canonical(name), _distribution(name, wanted_by))
        pending.extend((*needed, name) for needed in _required(distribution.requires or [], extras))
    return list(found.values())


def _distribution(name: str, wanted_by: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise WorkerStartError(
            f"The package {name}, which Lambda's Python runtime ships ({wanted_by} requires it), is not installed: "
            f"run `python -m pip install {name}`"
        ) from None


def _required(requirements: list[str], extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Name and extras of each requirement that applies to this interpreter with `extras` asked for."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield from _required_roughly(requirements)
        return
    for text in requirements:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement.name, frozenset(requirement.extras)


def _required_roughly(requirements: list[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Without `packaging`: no extras, and of requirements with a marker those that are installed."""
    for text in requirements:
        specifier, _, marker = text.partition(";")
        match = _NAME.match(specifier)
        if match is None or "extra" in marker:
            continue
        if not marker or _is_installed(match["name"]):
            yield match["name"], frozenset()


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _top_level(distribution: metadata.Distribution) -> Iterator[tuple[str, Path]]:
    """The first components of a distribution's files, and where they are."""
    name = distribution.metadata["Name"]
    if not distribution.files:
        raise WorkerStartError(
            f"The package {name} has no record of its files: run `python -m pip install --force-reinstall {name}`"
        )
    firsts = {file.parts[0] for file in distribution.files} - _NEVER_LINKED
    for first in sorted(firsts):
        source = Path(str(distribution.locate_file(first)))
        if source.exists() and not first.endswith(".pth"):
            yield first, source.resolve()


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
