from typing import Final

NEWIPC: Final[int]
NEWNET: Final[int]
NEWNS: Final[int]
NEWPID: Final[int]
NEWUSER: Final[int]
NEWUTS: Final[int]
BIND: Final[int]
NODEV: Final[int]
NOEXEC: Final[int]
NOSUID: Final[int]
READ_ONLY: Final[int]
RECURSIVE: Final[int]
REMOUNT: Final[int]
SLAVE: Final[int]

def bear(
    flags: int,
    cgroup_fd: int,
    control_fd: int,
    entries: tuple[int, ...],
    zygote_pidfd: int,
    *,
    alone: bool,
    rooted: bool,
    hostname: str,
) -> tuple[int, int]: ...
def unshare(flags: int) -> None: ...
def enter(namespace_fd: int, kind: int) -> None: ...
def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None: ...
def protect(path: str, *, read_only: bool) -> None: ...
def unmount(target: str) -> None: ...
def pivot(root: str, old: str) -> None: ...
def set_hostname(name: str) -> None: ...
def bring_up_loopback() -> None: ...
