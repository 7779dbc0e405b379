"""F1: where in the cgroup v2 tree this process may make cells, and getting its controllers switched on there.

v2 lets a cgroup hold processes or hand controllers to its children, not both (the root excepted). So the place is, in
this order: this process's own cgroup when it already hands on what is needed; the same after this process has moved to
a leaf of its own, if nobody else sits there; the nearest ancestor within the delegated subtree (systemd marks its top
with the `user.delegate` attribute) that hands controllers on. Nothing outside is touched: a service stays within its
own limits. Everything is undone by `leave`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

from .claim import Claim, gone, remove_stale
from .contract import MechanismUnavailableError
from .control import ControlFiles, OwnCgroups, pids_in

CONTROLLERS: Final = ("memory", "cpu", "pids")
_HINT: Final = "give the engine a cgroup of its own: `systemd-run --user --scope -p Delegate=yes engine serve`"


class Delegation:
    """The engine's directory with controllers switched on for its cells: `directory`, `controllers`."""

    def __init__(self, files: ControlFiles, own: OwnCgroups, is_top: Callable[[Path], bool] | None = None) -> None:
        """MechanismUnavailableError, with the reason, when there is no such place."""
        self._files = files
        self._is_top = is_delegated if is_top is None else is_top
        if own.v2 is None or own.v2_mount is None:
            raise MechanismUnavailableError("no cgroup v2 tree is mounted that shows this process")
        self.home, self._mount = own.v2, own.v2_mount
        self.controllers = self._available(self.home)
        self._switched: list[str] = []
        self._leaf: Path | None = None
        place = self._place()
        remove_stale(files, place)
        self._claim = Claim(files, {"": place})
        self.directory = self._claim.directories[""]
        try:
            self._enter(place)
        except OSError as error:
            self.leave()
            raise MechanismUnavailableError(f"cannot switch controllers on in {place}: {error.strerror}") from error

    def leave(self) -> list[Path]:
        """Undo everything, as far as nothing is left inside; what is still there. Idempotent: it retries."""
        self._write_quietly(self.directory / "cgroup.subtree_control", "-", self.controllers)
        self._write_quietly(self.home / "cgroup.subtree_control", "-", self._switched)
        if self._leaf is not None:
            for pid in pids_in(self._files, self._leaf):
                self._move_quietly(pid, self.home)
            if gone(self._files, self._leaf):
                self._leaf = None
        return self._claim.release()

    def _place(self) -> Path:
        if self._hands_on(self.home) or self._is_ours_alone():
            return self._writable(self.home)
        for ancestor in self._delegated_ancestors():
            if self._hands_on(ancestor) and not pids_in(self._files, ancestor):
                return self._writable(ancestor)
        raise MechanismUnavailableError(f"other processes share {self.home}, which then cannot have cells: {_HINT}")

    def _enter(self, place: Path) -> None:
        wanted = " ".join(f"+{controller}" for controller in self.controllers)
        if not self._hands_on(place):
            self._leaf = self.directory / "engine"
            self._files.make(self._leaf)
            for pid in sorted(pids_in(self._files, place)):
                self._files.write(self._leaf / "cgroup.procs", str(pid))
            before = self._handed_on(place)
            self._files.write(place / "cgroup.subtree_control", wanted)
            self._switched = [controller for controller in self.controllers if controller not in before]
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

    def _handed_on(self, directory: Path) -> list[str]:
        return self._files.read(directory / "cgroup.subtree_control").split()

    def _hands_on(self, directory: Path) -> bool:
        return set(self.controllers) <= set(self._handed_on(directory))

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

    def _write_quietly(self, file: Path, sign: str, controllers: tuple[str, ...] | list[str]) -> None:
        try:
            if controllers:
                self._files.write(file, " ".join(sign + controller for controller in controllers))
        except OSError:
            return  # somebody else's cells still need them, or the directory is gone

    def _move_quietly(self, pid: int, directory: Path) -> None:
        try:
            self._files.write(directory / "cgroup.procs", str(pid))
        except OSError:
            return


def is_delegated(directory: Path) -> bool:
    """Whether systemd marked this cgroup as the top of a delegated subtree."""
    try:
        return os.getxattr(directory, "user.delegate") == b"1"
    except OSError:
        return False
