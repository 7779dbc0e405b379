"""F1: a file as a block device (loop(4)). What is in the file is not known here.

A device is bound with autoclear: the kernel frees it, and the file's space if it has no name, when the last user of the
device goes. So nothing is left to undo, not even by an engine that was killed. I/O goes through the page cache of the
file: what is deleted soon after it was written never reaches the disk.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

CONTROL: Final = "/dev/loop-control"
_GET_FREE, _CONFIGURE = 0x4C82, 0x4C0A
_AUTOCLEAR: Final = 4
_TRIES: Final = 64  # another process may bind the free device first
# struct loop_config: fd, block_size; struct loop_info64 (5 u64, 4 u32 of which the last is lo_flags, names, key, init).
_CONFIG: Final = struct.Struct("=II 40x 12xI 176x 64x")


@contextmanager
def bound(file: int) -> Iterator[str]:
    """The path of a device bound to the file, for as long as the block lasts or something uses the device. OSError."""
    device, path = _bind(file)
    try:
        yield path
    finally:
        os.close(device)


def _bind(file: int) -> tuple[int, str]:
    control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            path = f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}"
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _CONFIGURE, _CONFIG.pack(file, 0, _AUTOCLEAR))
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:
                    raise
            else:
                return device, path
        raise OSError(errno.EBUSY, f"{_TRIES} free loop devices were all taken by others first")
    finally:
        os.close(control)
