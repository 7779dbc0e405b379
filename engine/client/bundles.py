"""F2: what a user gives as code, made a zip on this side and told in a message or in parts before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import CodeStorageExceededException
from ..model import Code
from ..store.build import Builder, Progress
from ..store.layers import is_layer_arn
from ..store.source import bundle
from ..wire.messages import INLINE_CODE_BYTES, UPLOAD_PART_BYTES

CODE_MAX_BYTES = 262_144_000  # a zip cannot be larger than what it may unpack to


@contextmanager
def zipped(code: Code, progress: Progress | None) -> Iterator[bytes | Path]:
    """The zip of `code` for the length of the block; a folder's `requirements.txt` is built here, on this host."""
    with bundle(code, build=Builder(), progress=progress) as made:
        size = len(made) if isinstance(made, bytes) else made.stat().st_size
        if size > CODE_MAX_BYTES:
            raise CodeStorageExceededException(f"the zip of the code has {size} bytes; at most {CODE_MAX_BYTES} fit")
        yield made


def inline(made: bytes | Path) -> bytes | None:
    """The whole zip if it fits in its message."""
    if isinstance(made, bytes):
        return made if len(made) <= INLINE_CODE_BYTES else None
    return made.read_bytes() if made.stat().st_size <= INLINE_CODE_BYTES else None


def parts(made: bytes | Path) -> Iterator[bytes]:
    """A zip in pieces that fit in a message each."""
    if isinstance(made, bytes):
        yield from (made[at : at + UPLOAD_PART_BYTES] for at in range(0, len(made), UPLOAD_PART_BYTES))
        return
    with made.open("rb") as file:
        while part := file.read(UPLOAD_PART_BYTES):
            yield part


def all_codes(code: Code | None, layers: Sequence[Code] | None) -> list[Code]:
    """What is to be made a zip: not the layers that are published, which are named by their ARNs."""
    return [each for each in (code, *(layers or ())) if each is not None and not is_layer_arn(each)]


def told_layers(layers: Sequence[Code], sent: list[Any]) -> list[Any]:
    """What stands for each layer in a message: its ARN, or the next of what was sent."""
    made = iter(sent)
    return [layer if is_layer_arn(layer) else next(made) for layer in layers]
