"""F1: where in the cgroup v2 tree this process may make cells, and getting its controllers switched on there.

v2 lets a cgroup hold processes or hand controllers to its children, not both (the root excepted). So the place is, in
this order: this process's own cgroup when it already hands on what is needed; the same after this process has moved to
a leaf of its own, if nobody else sits there; the nearest ancestor within the delegated subtree (systemd marks its top
with the `user.delegate` attribute) that hands controllers on. Nothing outside is touched: a service stays within its
own limits.

The leaf is everybody's who sits in it: a second engine of this process, or of a child of it, makes its directory beside
the first's, not inside the leaf. So whichever engine leaves last puts the processes back and switches the controllers
off; until then the kernel refuses both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

from .claim import Claim, gone, remove_stale
from .contract import MechanismUnavailableError
from .control import ControlFiles, OwnCgroups, pids_in

CONTROLLERS: Final = ("memory", "cpu", "pids")
_LEAF: Final = re.compile(r"invocation-engine-\d+-leaf")
_HINT: Final = "give the engine a cgroup of its own: `systemd-run --user --scope -p Delegate=yes engine serve`"


class Delegation:
    """The engine's directory with controllers switched on for its cells: `directory`, `controllers`."""

    def __init__(self, files: ControlFiles, own: OwnCgroups, is_top: Callable[[Path], bool] | None = None) -> None:
        """MechanismUnavailableError, with the reason, when there is no such place."""
        self._files = files
        self._is_top = is_delegated if is_top is None else is_top
        if own.v2 is None or own.v2_mount is None:
            raise MechanismUnavailableError("no cgroup v2 tree is mounted that shows this process")
        self.home = own.v2.parent if _LEAF.fullmatch(own.v2.name) else own.v2
        self._mount = own.v2_mount
        self.controllers = self._available(self.home)
        self._place = self._find_place()
        remove_stale(files, self._place)
        self._claim = Claim(files, {"": self._place})
        self.directory = self._claim.directories[""]
        try:
            self._enter()
        except OSError as error:
            self.leave()
            message = f"cannot switch controllers on in {self._place}: {error.strerror}"
            raise MechanismUnavailableError(message) from error

    def leave(self) -> list[Path]:
        """Undo everything, as far as nothing is left inside; what is still there. Idempotent: it retries."""
        off = " ".join(f"-{controller}" for controller in self.controllers)
        self._write_quietly(self.directory / "cgroup.subtree_control", off)
        left = self._claim.release()
        for leaf in [found for found in self._place.glob("invocation-engine-*") if _LEAF.fullmatch(found.name)]:
            self._write_quietly(self._place / "cgroup.subtree_control", off)
            for pid in pids_in(self._files, leaf):
                self._write_quietly(self._place / "cgroup.procs", str(pid))
            self._remove_quietly(leaf)
        return left

    def _find_place(self) -> Path:
        if self._hands_on(self.home) or self._is_ours_alone():
            return self._writable(self.home)
        for ancestor in self._delegated_ancestors():
            if self._hands_on(ancestor) and not pids_in(self._files, ancestor):
                return self._writable(ancestor)
        raise MechanismUnavailableError(f"other processes share {self.home}, which then cannot have cells: {_HINT}")

    def _enter(self) -> None:
        wanted = " ".join(f"+{controller}" for controller in self.controllers)
        if not self._hands_on(self._place):
            leaf = self._place / f"invocation-engine-{os.getpid()}-leaf"
            if not leaf.exists():
                self._files.make(leaf)
            for pid in sorted(pids_in(self._files, self._place)):
                self._files.write(leaf / "cgroup.procs", str(pid))
            self._files.write(self._place / "cgroup.subtree_control", wanted)
        self._files.write(self.directory / "cgroup.subtree_control", wanted)

    def _available(self, directory: Path) -> tuple[str, ...]:
        try:
            offered = self._files.read(directory / "cgroup.controllers").split()
        except OSError as error:
            raise MechanismUnavailableError(f"cannot read {directory}/cgroup.controllers: {error.strerror}") from error
        if "memory" not in offered:
            raise MechanismUnavailableError(
                f"{directory} offers no memory controller, only: {' '.join(offered) or 'none'}"
            )
        return tuple(controller for controller in CONTROLLERS if controller in offered)

    def _hands_on(self, directory: Path) -> bool:
        return set(self.controllers) <= set(self._files.read(directory / "cgroup.subtree_control").split())

    def _is_ours_alone(self) -> bool:
        descendants = {child.pid for child in psutil.Process().children(recursive=True)}
        return pids_in(self._files, self.home) <= descendants | {os.getpid()}

    def _delegated_ancestors(self) -> list[Path]:
        """From the parent up to the top of the delegated subtree; none when this process is in no such subtree."""
        ancestors: list[Path] = []
        for ancestor in self.home.parents:
            if not ancestor.is_relative_to(self._mount):
                break
            ancestors.append(ancestor)
            if self._is_top(ancestor):
                return ancestors
        return []

    def _writable(self, directory: Path) -> Path:
        if os.access(directory, os.W_OK) and os.access(directory / "cgroup.procs", os.W_OK):
            return directory
        raise MechanismUnavailableError(f"{directory} is not delegated to uid {os.geteuid()}: {_HINT}")

    def _write_quietly(self, file: Path, value: str) -> None:
        try:
            self._files.write(file, value)
        except OSError:
            return  # another engine's cells still need it as it is, or the directory or the process is gone

    def _remove_quietly(self, leaf: Path) -> None:
        try:
            gone(self._files, leaf)
        except OSError:
            return  # another user's: it is for that one's engine to remove


def is_delegated(directory: Path) -> bool:
    """Whether systemd marked this cgroup as the top of a delegated subtree."""
    try:
        return os.getxattr(directory, "user.delegate") == b"1"
    except OSError:
        return False
