"""Images that are none, or were changed: an error where it can be told, and never more than the end of that process."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from families import Family

FORGERIES = 67  # in each of three places
LIMIT_S = 3.0  # a changed program may also run for ever; environments have their own time limit
HEADER_BYTES = 8192
HEAP_END = 80  # where the header says it


@pytest.fixture(scope="module")
def forgeable() -> Iterator[tuple[Family, bytes]]:
    """A family whose image can be changed, and the image's bytes as they were written."""
    image_fd = os.memfd_create("engine-image", os.MFD_CLOEXEC)
    family = Family(image_fd)
    assert family.template("x = [1, 2, 3]", "say(x)").said == ["captured"]
    yield family, os.pread(image_fd, os.fstat(image_fd).st_size, 0)
    family.close()
    os.close(image_fd)


def forge(family: Family, whole: bytes, *changes: tuple[int, bytes]) -> None:
    assert family.image_fd is not None
    os.ftruncate(family.image_fd, len(whole))
    os.pwrite(family.image_fd, whole, 0)
    for offset, new in changes:
        os.pwrite(family.image_fd, new, offset)


def test_an_empty_file_is_no_image(family: Family) -> None:
    assert family.restored().only == [22, "the file is no image of a process"]


def test_an_image_that_was_cut_is_refused(forgeable: tuple[Family, bytes]) -> None:
    family, whole = forgeable
    forge(family, whole)
    os.ftruncate(family.image_fd or 0, len(whole) - 1)
    assert family.restored().only == [22, f"the image has {len(whole) - 1} bytes of {len(whole)}"]


@pytest.mark.parametrize("offset", (24, 28, 40, 44, 48, 52, 56, 60))
def test_a_header_of_forged_lengths_is_refused(forgeable: tuple[Family, bytes], offset: int) -> None:
    family, whole = forgeable
    forge(family, whole, (offset, b"\xff\xff\xff\x7f"))
    number, sentence = family.restored(limit_s=LIMIT_S).only
    assert (number, "image" in sentence) == (22, True)


@pytest.mark.parametrize("where", ["header", "memory", "table"])
def test_flipped_bytes_end_that_process_and_nothing_else(forgeable: tuple[Family, bytes], where: str) -> None:
    family, whole = forgeable
    table = int.from_bytes(whole[40:48], "little")
    low, high = {"header": (0, HEADER_BYTES), "memory": (HEADER_BYTES, table), "table": (table, len(whole))}[where]
    chance = random.Random(where)
    for _ in range(FORGERIES):
        places = [chance.randrange(low, high) for _ in range(chance.choice((1, 8, 64)))]
        forge(family, whole, *((place, bytes([whole[place] ^ 1 << chance.randrange(8)])) for place in places))
        family.restored(limit_s=LIMIT_S)  # whatever it says: the zygote answers, and so does the next one
    forge(family, whole)
    assert family.restored().only == [1, 2, 3]


def test_a_refused_blank_can_still_be_restored_from_a_good_image(make_family: Callable[..., Family]) -> None:
    family = make_family()
    family.template("x = 5", "say(x)")
    before = """
        import os
        from engine._ext import image
        for bad in (b"", b"no image" * 2000):
            fd = os.memfd_create("engine-bad"); os.write(fd, bad)
            try:
                image.restore(fd)
            except OSError as error:
                say(error.strerror)
            os.close(fd)
    """
    assert family.restored(before=before).said == ["the file is no image of a process"] * 2 + [5]


def test_a_step_that_fails_when_there_is_no_way_back_aborts_the_process(forgeable: tuple[Family, bytes]) -> None:
    family, whole = forgeable
    forge(family, whole, (HEAP_END, bytes(8)))
    assert family.restored().status == -signal.SIGABRT


def test_a_file_that_init_had_mapped_and_is_changed_or_gone_is_an_error(family: Family, tmp_path: Path) -> None:
    name = tmp_path / "mapped"
    name.write_bytes(b"a" * 65_536)
    init = f"""
        import mmap
        with open({str(name)!r}, "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
    """
    family.template(init, "say(mapped[:3].decode())", own_folder="/of/nobody/")
    assert family.restored().only == "aaa"
    os.utime(name, ns=(1, 1))
    assert family.restored().only == [116, f"{name} is not the file any more that init had mapped"]
    name.unlink()
    assert family.restored().only == [2, f"{name}, which init had mapped, cannot be opened"]


def test_a_file_of_the_environments_own_folder_is_kept_in_the_image(family: Family, tmp_path: Path) -> None:
    name = tmp_path / "mapped"
    name.write_bytes(b"a" * 65_536)
    init = f"""
        import mmap
        with open({str(name)!r}, "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
    """
    family.template(init, "say(mapped[:3].decode())", own_folder=f"{tmp_path}/")
    name.unlink()
    assert family.restored().only == "aaa"
