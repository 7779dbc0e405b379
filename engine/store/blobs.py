"""F1: the content-addressed store of code bundles on this host.

`root/<hex sha>/` is an unpacked tree and `root/<hex sha>.zip` the zip it came from.

Concurrency. Both appear by rename, the tree last, so a tree that is there is whole. References are counted per store
object under its lock. Several stores, in any processes, may share a root: while a store counts any reference to a
bundle it holds a shared lock on that bundle's byte of `root/.lock`, and only who gets the exclusive lock deletes. The
locks are of the open file description (F_OFD_SETLK), so two stores in one process exclude each other too and the
kernel drops the locks of a process that dies. Byte 0 says "a store is open": who gets it exclusively on opening is
alone and sweeps away what killed processes left half done.

A durable store outlives its process: a zip is on disk before `put_zip` returns, `markers` says which trees can be
believed, and `restore` gives the store the references of an earlier life back.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import struct
import tempfile
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

from .. import config
from ..errors import (
    EngineClosedError,
    InvalidParameterValueException,
    InvalidZipFileException,
    LambdaError,
    RequestTooLargeException,
    ResourceNotFoundException,
    ServiceException,
)
from ..model import StoredCode
from ..validation import shown
from .data_folder import close_in_children
from .markers import SUFFIX, UNSETTLED_MAX, Markers
from .unpack import bad_zip, too_big, unpack_zip

# A zip that is larger than what it may inflate to, plus names and headers, cannot be in order.
ARCHIVE_MAX_BYTES: Final = config.UNZIPPED_MAX_BYTES + 67_108_864

_CHUNK_BYTES: Final = 1 << 20
_INCOMING: Final = ".incoming-"
_TRASH: Final = ".trash-"
_OPEN_BYTE: Final = 0
_BUNDLE_PART: Final = re.compile(rf"([0-9a-f]{{64}})(\.zip|{re.escape(SUFFIX)})?")
_DISK_TROUBLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


class CodeStore:
    """Bundles under one folder, each there once however many functions use it."""

    def __init__(self, root: Path, *, durable: bool = False) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self._markers = Markers(self.root) if durable else None
        self._damaged: dict[str, str] = {}
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._unzipped_bytes: dict[str, int] = {}
        self._lock_file: IO[bytes] | None = (self.root / ".lock").open("a+b")
        if durable:
            close_in_children(self._lock_file)
        if self._try_exclusive(_OPEN_BYTE):
            self._sweep()
        self._byte_lock(_OPEN_BYTE, fcntl.F_RDLCK, wait=True)

    def put_zip(self, data: bytes | Path) -> StoredCode:
        """Store a zip and unpack it, once per content. The answer holds one reference: `release` it in the end.

        `bytes` came in a request and may have 52,428,800 bytes (`RequestTooLargeException`); a path stands for an
        upload and is only held to the unzipped limit. Raises what `unpack.unpack_zip` raises, and `ServiceException`
        for a disk that is full or fails; nothing is left then.
        """
        with _disk_trouble_told(self.root), self._incoming() as folder:
            incoming = folder / "bundle.zip"
            digest, size = _keep_request(data, incoming) if isinstance(data, bytes) else _keep_file(data, incoming)
            sha = digest.hex()
            self._count_up(sha)
            try:
                unzipped = self._unpacked(sha, incoming)
            except BaseException:
                self._count_down(sha)
                raise
        if self._markers is not None:
            self._markers.settle(least=UNSETTLED_MAX)
        encoded = base64.b64encode(digest).decode()
        return StoredCode(encoded, size, self.root / sha, unzipped_bytes=unzipped)

    def zip_path(self, stored: StoredCode) -> Path:
        """The zip as it was put; there as long as a reference is held."""
        return self.root / f"{stored.root.name}.zip"

    def read_zip(self, sha256: str, offset: int, size: int) -> bytes:
        """So much of the zip with this CodeSha256, from `offset` on; less at its end, and nothing past it.

        Raises `ResourceNotFoundException` for one that this store holds no reference to.
        """
        unknown = ResourceNotFoundException(f"There is no code with CodeSha256 {shown(sha256)!r}")
        try:
            sha = tree_name(sha256)
        except ValueError:
            raise unknown from None
        if sha not in self._counts:
            raise unknown
        try:
            with (self.root / f"{sha}.zip").open("rb") as zipped:
                return os.pread(zipped.fileno(), size, offset)
        except FileNotFoundError:  # the last reference went this moment
            raise unknown from None

    def retain(self, stored: StoredCode) -> None:
        """Hold one more reference. Raises `ValueError` if this store holds none: its files may be gone."""
        with self._lock:
            self._check_open()
            if stored.root.name not in self._counts:
                raise ValueError(f"no reference is held to the code bundle {stored.root.name}: put it again")
            self._counts[stored.root.name] += 1

    def release(self, stored: StoredCode) -> None:
        """Let one reference go; the last one of all stores deletes tree and zip. `ValueError` if none is held."""
        self._count_down(stored.root.name)

    def restore(self, references: Iterable[StoredCode]) -> None:
        """Hold one reference for each of `references`, which an earlier store gave out; no bundle else stays.

        A tree that is missing or cannot be believed is unpacked anew. A bundle for which that fails counts as all
        others do, and `check` refuses it.
        """
        broken: list[str] = []
        for stored, count in Counter(references).items():
            sha = stored.root.name
            self._count_up(sha)
            self._counts[sha] += count - 1
            self._unzipped_bytes[sha] = stored.unzipped_bytes
            if not (self._markers is not None and self._markers.is_whole(sha) and stored.root.is_dir()):
                broken.append(sha)
        if broken:
            self._mend(broken)
        if self._markers is not None:
            self._markers.settle(least=UNSETTLED_MAX)
        self._remove_unreferenced()

    def check(self, stored: StoredCode, function_name: str) -> None:
        """Raises `InvalidZipFileException` for a bundle that `restore` found damaged and nobody has put since."""
        why = self._damaged.get(stored.root.name)
        if why is not None:
            raise InvalidZipFileException(
                f"The code of {function_name} (CodeSha256 {stored.sha256}) is not usable: {why}. "
                "Give the function its code again with update_function_code, or delete and create it"
            )

    def references(self, stored: StoredCode) -> int:
        """How many references this store counts."""
        return self._counts.get(stored.root.name, 0)

    def close(self) -> None:
        """Drop every lock. What is still referenced stays on disk: a later store with this root finds it."""
        if self._markers is not None and self._lock_file is not None:
            self._markers.settle()
        with self._lock:
            if self._lock_file is not None:
                self._lock_file.close()
            self._lock_file = None
            self._counts.clear()

    def _count_up(self, sha: str) -> None:
        with self._lock:
            self._check_open()
            if sha not in self._counts:
                self._byte_lock(_byte_of(sha), fcntl.F_RDLCK, wait=True)  # waits only while another store deletes
            self._counts[sha] = self._counts.get(sha, 0) + 1

    def _count_down(self, sha: str) -> None:
        trash: list[Path] = []
        with self._lock:
            if self._lock_file is None:
                return
            if sha not in self._counts:
                raise ValueError(f"the code bundle {sha} was released more often than retained")
            self._counts[sha] -= 1
            if self._counts[sha] == 0:
                del self._counts[sha]
                trash = self._drop(sha)
        _remove(trash)

    def _drop(self, sha: str) -> list[Path]:
        """Give up this store's share of a bundle; what to delete if nobody else has one. Needs no room on the disk."""
        byte = _byte_of(sha)
        trash: list[Path] = []
        if self._try_exclusive(byte):
            trash = self._to_trash(sha, f"{sha}{SUFFIX}", f"{sha}.zip")
            self._unzipped_bytes.pop(sha, None)
            self._damaged.pop(sha, None)
        self._byte_lock(byte, fcntl.F_UNLCK, wait=False)
        return trash

    def _to_trash(self, *names: str) -> list[Path]:
        """Where those of `names` that are there have been moved to: out of sight at once, whatever deleting takes."""
        moved: list[Path] = []
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                moved.append((self.root / name).rename(self.root / f"{_TRASH}{uuid.uuid4().hex}"))
        return moved

    def _unpacked(self, sha: str, incoming: Path) -> int:
        """Make sure of tree and zip; the bytes that the tree's files hold."""
        tree = self.root / sha
        if tree.is_dir():
            unzipped = self._unzipped_bytes.get(sha) or _tree_bytes(tree)
        else:
            unzipped = unpack_zip(incoming, incoming.with_name("tree"))
            if self._markers is not None:
                _sync(incoming)
            incoming.replace(self.root / f"{sha}.zip")
            if self._markers is not None:
                self._markers.unpacking(sha)
            # The tree comes last: who finds it knows that its zip and its marker are on disk.
            _rename_once(incoming.with_name("tree"), tree)
            self._damaged.pop(sha, None)
        self._unzipped_bytes[sha] = unzipped
        return unzipped

    def _mend(self, broken: list[str]) -> None:
        _remove([path for sha in broken for path in self._to_trash(sha)])
        told = "its tree is missing, and unpacking it anew failed"
        try:
            if self._markers is not None:
                self._markers.unpacking(*broken)
        except OSError as error:
            self._damaged.update(dict.fromkeys(broken, f"{told}: {error}"))
            return
        for sha in broken:
            try:
                self._unpack_anew(sha)
            except (LambdaError, OSError) as error:
                self._damaged[sha] = f"{told}: {error}"

    def _unpack_anew(self, sha: str) -> None:
        zipped = self.root / f"{sha}.zip"
        with self._incoming() as folder:
            with zipped.open("rb") as reader:
                if hashlib.file_digest(reader, "sha256").hexdigest() != sha:
                    raise bad_zip(f"{zipped} is not what it was")
            unpack_zip(zipped, folder / "tree")
            (folder / "tree").rename(self.root / sha)

    def _remove_unreferenced(self) -> None:
        found = {match[1] for name in os.listdir(self.root) if (match := _BUNDLE_PART.fullmatch(name))}
        for sha in found - self._counts.keys():
            with self._lock:
                trash = self._drop(sha)
            _remove(trash)

    @contextlib.contextmanager
    def _incoming(self) -> Iterator[Path]:
        self._check_open()
        folder = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.root))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _sweep(self) -> None:
        for prefix in (_INCOMING, _TRASH):
            _remove(self.root.glob(f"{prefix}*"))

    def _try_exclusive(self, byte: int) -> bool:
        try:
            self._byte_lock(byte, fcntl.F_WRLCK, wait=False)
        except BlockingIOError:
            return False
        return True

    def _byte_lock(self, byte: int, kind: int, *, wait: bool) -> None:
        # struct flock of 64-bit Linux: type, whence, start, length, pid (0 for a lock of the file description)
        request = struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0)
        fcntl.fcntl(self._check_open(), fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, request)

    def _check_open(self) -> IO[bytes]:
        if self._lock_file is None:
            raise EngineClosedError(f"the code store at {self.root} is closed")
        return self._lock_file


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def tree_name(sha256: str) -> str:
    """The folder, in a store's root, of the bundle with this CodeSha256. Raises `ValueError` if it is not one."""
    return base64.b64decode(sha256, validate=True).hex()


def _byte_of(sha: str) -> int:
    """Where in the lock file a bundle's byte is; never `_OPEN_BYTE`. A shared byte would only delay a deletion."""
    return 1 + int(sha[:15], 16)


def _rename_once(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        if not target.is_dir():  # else another put of the same content was first
            raise


def _sync(path: Path) -> None:
    with path.open("rb") as written:
        os.fsync(written.fileno())


@contextlib.contextmanager
def _disk_trouble_told(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_TROUBLE:
            raise
        raise ServiceException(f"The code could not be stored in {root}: {error}") from error


def _keep_request(data: bytes, target: Path) -> tuple[bytes, int]:
    """SHA-256 and length of a zip from a request, written to `target`."""
    if len(data) > config.ZIP_MAX_BYTES:
        raise RequestTooLargeException(
            f"Zipped size must be smaller than {config.ZIP_MAX_BYTES} bytes in a request, this zip has {len(data)}: "
            "give a .zip path or a folder instead"
        )
    target.write_bytes(data)
    return hashlib.sha256(data).digest(), len(data)


def _keep_file(source: Path, target: Path) -> tuple[bytes, int]:
    """SHA-256 and length of the zip at `source`, copied to `target`: what is hashed is what is unpacked."""
    if not source.is_file():
        raise InvalidParameterValueException(f"There is no zip file at {source}")
    digest = hashlib.sha256()
    size = 0
    with source.open("rb") as reader, target.open("xb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > ARCHIVE_MAX_BYTES:
                raise too_big()
            digest.update(chunk)
            writer.write(chunk)
    return digest.digest(), size


def _tree_bytes(tree: Path) -> int:
    """What the files of an unpacked tree hold; symlinks count nothing, as when it was unpacked."""
    total = 0
    for folder, _, names in os.walk(tree):
        for name in names:
            status = os.lstat(os.path.join(folder, name))
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total
