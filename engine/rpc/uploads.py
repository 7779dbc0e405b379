"""F5: code that is too long for one message, received in parts. It belongs to its connection and goes with it."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from ..errors import InvalidParameterValueException, RequestTooLargeException
from ..store.blobs import ARCHIVE_MAX_BYTES

UPLOADS_MAX: Final = 8  # of one connection at a time; a function has at most its code and five layers


class Uploads:
    """Files of one connection, by number. The folder is made with the first."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._sizes: dict[int, int] = {}
        self._last = 0
        self._in_order = asyncio.Lock()

    async def receive(self, given: list[Any]) -> dict[str, int]:
        """`take`, off the loop; parts that come at once are taken in their order."""
        async with self._in_order:
            return await asyncio.to_thread(self.take, given)

    def take(self, given: list[Any]) -> dict[str, int]:
        """`[upload_id or nil, bin]`: a part for an upload, or the first of a new one. Its id and size so far.

        Raises InvalidParameterValueException, RequestTooLargeException at the limit of unzipped code.
        """
        if len(given) != 2 or not isinstance(given[1], bytes) or not isinstance(given[0], int | None):
            raise InvalidParameterValueException("upload takes [upload_id or nil, bin]")
        number = self._new() if given[0] is None else self._known(given[0])
        size = self._sizes[number] + len(given[1])
        if size > ARCHIVE_MAX_BYTES:
            self._forget(number)
            raise RequestTooLargeException(f"an upload has at most {ARCHIVE_MAX_BYTES} bytes; this one is forgotten")
        with self._file(number).open("ab") as file:
            file.write(given[1])
        self._sizes[number] = size
        return {"upload_id": number, "size": size}

    def path(self, number: object) -> Path:
        """The zip that was received."""
        return self._file(self._known(number))

    def close(self) -> None:
        """Forget everything."""
        self._sizes.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _new(self) -> int:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix=f"invocation-engine-{os.getpid()}-"))
        while len(self._sizes) >= UPLOADS_MAX:
            self._forget(next(iter(self._sizes)))
        self._last += 1
        self._sizes[self._last] = 0
        return self._last

    def _forget(self, number: int) -> None:
        del self._sizes[number]
        self._file(number).unlink(missing_ok=True)

    def _known(self, number: object) -> int:
        if not isinstance(number, int) or number not in self._sizes:
            raise InvalidParameterValueException(f"this connection has no upload {number!r}: send its parts first")
        return number

    def _file(self, number: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{number}.zip"
