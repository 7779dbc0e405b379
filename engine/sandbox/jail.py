"""F1: what is put around an environment besides limits, step by step. Runs in a zygote and the processes it forks.

Three processes take part. The *zygote* finds out what this host allows and builds the root directory (`available.py`).
Each environment's *init* is forked into new namespaces and makes them its own (`namespaces.bear`). The *environment*
stays there with all rights, as a blank, until it is given a function: then it mounts that function's code (`furnish`)
and gives up every right for good (`confine`) before it reads a byte of the user's code.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from .._ext import confine, mounts, namespaces
from . import landlock, root

TMP_MB: Final = 512  # Lambda's default, which a blank has already
WRITABLE: Final = ("/tmp", "/dev", "/proc")
HOST_FOLDERS: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc")
NAMESPACES: Final = {
    "files": namespaces.NEWNS,
    "processes": namespaces.NEWPID,
    "ipc": namespaces.NEWIPC,
    "hostname": namespaces.NEWUTS,
    "network": namespaces.NEWNET,
}


class Plan(NamedTuple):
    """What an engine asks of a zygote. Paths are real ones, without links.

    store: the folder of unpacked bundles. packages: what Lambda's Python ships, by name, and where it is. prefix,
    executable, stdlib: the interpreter's. uids: first and how many, for a zygote that may change its user. bootstraps,
    cache, homes: what other languages need ("" for none), and folders of interpreters outside /usr.
    """

    wanted: str
    store: str
    packages: dict[str, str]
    prefix: str
    executable: str
    stdlib: list[str]
    uids: tuple[int, int]
    bootstraps: str = ""
    cache: str = ""
    homes: Sequence[str] = ()


class Jail:
    """What can be had here. `enforced` says by what, `missing` why not; together they name every part."""

    def __init__(self) -> None:
        self.enforced: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        self.flags = 0
        self.stdlib: list[str] = []
        self._filter: bytes | None = None
        self._landlock = False
        self._rules: int | None = None

    def use_filters(self, program: bytes | None, *, landlock: bool) -> None:
        """The system call filter to install, and whether Landlock is to be used."""
        self._filter = program
        self._landlock = landlock

    @property
    def is_rooted(self) -> bool:
        """Whether environments have a root directory of their own, with Lambda's paths."""
        return "files" in self.enforced

    @property
    def is_alone(self) -> bool:
        """Whether an environment's init is the first process of a PID namespace."""
        return "processes" in self.enforced

    # --- in the zygote ------------------------------------------------------------------------------------------------

    def bear(self, cgroup_fd: int, control_fd: int, entries: tuple[int, ...], zygote_pidfd: int) -> tuple[int, int]:
        """See `namespaces.bear`."""
        return namespaces.bear(
            self.flags,
            cgroup_fd,
            control_fd,
            entries,
            zygote_pidfd,
            alone=self.is_alone,
            rooted=self.is_alone and self.is_rooted,
            hostname=root.HOSTNAME if "hostname" in self.enforced else "",
        )

    # --- in the environment -------------------------------------------------------------------------------------------

    def make_ready(self) -> None:
        """What does not depend on the function: /tmp, and the rules for files. Raises OSError."""
        if not self.is_rooted:
            return
        namespaces.mount("tmp", "/tmp", "tmpfs", _TMP_FLAGS, f"size={TMP_MB}m,mode=1777")
        if self._landlock:
            self._rules = landlock.prepare(["/"], WRITABLE, scope=True)

    def furnish(self, code: str, layers: Sequence[str], tmp_mb: int, tmp_fd: int | None = None) -> None:
        """Mount code on /var/task and layers on /opt; /tmp gets that size. Raises OSError.

        tmp_fd: a detached mount of that size to be /tmp, closed here; the one of `make_ready` stays below it, empty.
        """
        if not self.is_rooted:
            return
        namespaces.mount(_stored(code), root.TASK, "", namespaces.BIND)
        if len(layers) == 1:
            namespaces.mount(_stored(layers[0]), root.LAYERS, "", namespaces.BIND)
        elif layers:
            lower = ":".join(_stored(layer) for layer in reversed(layers))  # the topmost first: a later layer wins
            namespaces.mount("layers", root.LAYERS, "overlay", _READ_ONLY, f"lowerdir={lower}")
        namespaces.mount(root.EMPTY, root.LOCKED, "", namespaces.BIND)
        if tmp_fd is not None:
            self.show_at_tmp(tmp_fd)
        elif tmp_mb != TMP_MB:
            namespaces.mount("tmp", "/tmp", "tmpfs", namespaces.REMOUNT | _TMP_FLAGS, f"size={tmp_mb}m")

    def show_at_tmp(self, mount_fd: int) -> None:
        """Have a detached mount be /tmp, and close it. Raises OSError."""
        mounts.attach(mount_fd, "/tmp")
        os.close(mount_fd)
        if self._rules is not None:
            landlock.allow_writing(self._rules, "/tmp")  # the rule that there is speaks of what is covered now

    def connect(self, network: str, namespace_fd: int | None) -> int | None:
        """Enter the function's network namespace, or make it: then a descriptor of it is returned. Raises OSError."""
        if network == "host":
            return None
        if namespace_fd is not None:
            namespaces.enter(namespace_fd, namespaces.NEWNET)
            return None
        namespaces.unshare(namespaces.NEWNET)
        if network == "loopback":
            namespaces.bring_up_loopback()
        return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def confine(self, uid: int, *, readable: Sequence[str]) -> None:
        """Give up every right for good. readable: what can be read of the host without a root of its own."""
        if "users" in self.enforced:
            if uid <= 0:  # -1 would change nothing: the function would be root
                raise OSError(errno.EINVAL, f"uid {uid} is no user for a function")
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            confine.set_dumpable(True)  # /proc/self belongs to the user, as in any process that began as it
        if "capabilities" in self.enforced:
            confine.clear_capabilities()
        if self._landlock or self._filter is not None:
            confine.no_new_privileges()
        if self._landlock:
            self._restrict_files(readable)
        if self._filter is not None:
            confine.install_filter(self._filter)

    def _restrict_files(self, readable: Sequence[str]) -> None:
        rules = self._rules
        if rules is None:
            folders = [folder for folder in (*readable, *HOST_FOLDERS) if os.path.exists(folder)]
            rules = landlock.prepare(folders, WRITABLE, scope=True)
        if rules is not None:
            confine.landlock_restrict(rules)
            os.close(rules)


_READ_ONLY: Final = namespaces.READ_ONLY | namespaces.NOSUID | namespaces.NODEV
_TMP_FLAGS: Final = namespaces.NOSUID | namespaces.NODEV


def _stored(bundle: str) -> str:
    return f"{root.STORE}/{os.path.basename(bundle)}"
