import os
from typing import Final

RDONLY: Final[int]
NOSUID: Final[int]
NODEV: Final[int]
NOEXEC: Final[int]
NOATIME: Final[int]

def filesystem_mount(type: str, options: dict[str, str | None], attributes: int = ...) -> int: ...
def attach(mount_fd: int, path: str | os.PathLike[str]) -> None: ...
