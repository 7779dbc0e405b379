"""A process goes on in another: everything that a program can hold in its memory is there, and it is that program.

Odd and hostile images are in test_hostile_images.py, what a snapshot keeps beside memory in test_what_is_kept.py.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from families import Family
from programs import PROGRAMS

ANONYMOUS_BYTES_MAX = 3 * 1024 * 1024  # the promise: private memory of a restored numpy + boto3


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_restored_process_goes_on_with(family: Family, program: str) -> None:
    tried = PROGRAMS[program]
    assert family.template(tried.init, tried.after).said == ["captured"]
    assert [family.restored().only for _ in range(2)] == [tried.answer, tried.answer]


def test_numpy_and_boto3_go_on_with_a_client_that_init_made_and_little_memory_of_their_own(family: Family) -> None:
    template = family.template(
        """
        import boto3, numpy, sys
        client = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
        matrix = numpy.arange(250_000.0).reshape(500, 500)
        snapshot.end_library_threads()
        left = snapshot.obstacles(range(100))
        """,
        """
        fields = dict(line.split(":") for line in open("/proc/self/smaps_rollup").readlines()[1:])
        own_bytes = int(fields["Anonymous"].split()[0]) * 1024
        url = client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "key"})
        say([left, matrix[3, 4], "bucket" in url, own_bytes])
        say(float((matrix @ matrix)[0, 0]))
        """,
    )
    assert template.said == ["captured"], template.errors
    (left, element, signed, own_bytes), product = family.restored().said
    assert (left, element, signed, product) == ([], 1504.0, True, 20770875000.0)
    assert own_bytes <= ANONYMOUS_BYTES_MAX


def test_a_deep_stack_is_there_with_every_frame_of_it(family: Family) -> None:
    family.template(
        """
        import sys
        sys.setrecursionlimit(20_000)
        def down(n):
            return n + sum(map(down, [n - 1])) if n else capture_here()
        def capture_here():
            global message
            message = image.capture(IMAGE_FD)
            if message is None:
                say("captured")
                raise SystemExit
            return 0
        total = down(3_000)   # map() puts C frames between them
        say(total)
        raise SystemExit
        """
    )
    assert family.restored().only == 3_000 * 3_001 // 2


def test_a_message_of_a_mebibyte_arrives_and_a_longer_one_is_refused(family: Family) -> None:
    family.template("", "say([len(message), message[-3:].decode()])")
    assert family.restored("x" * ((1 << 20) - 3) + "end").only == [1 << 20, "end"]
    assert "1048577 bytes is longer than 1048576" in family.restored("x" * ((1 << 20) + 1)).errors


def test_functions_registered_for_the_end_run_once_in_each_process(family: Family) -> None:
    family.template("import atexit, os\natexit.register(lambda: say('bye'))", "say(message.decode())")
    assert [family.restored(word).said for word in ("a", "b")] == [["a", "bye"], ["b", "bye"]]


def test_processes_of_one_image_do_not_see_what_the_others_do(family: Family) -> None:
    family.template("x = [0]", "x[0] += 1; say(x)")
    assert [family.restored().only for _ in range(3)] == [[1]] * 3


def test_what_the_blank_did_before_is_forgotten(family: Family) -> None:
    family.template("x = 1", "import sys; say(['decimal' in sys.modules, 'colorsys' in sys.modules])")
    busy = (
        "import decimal, colorsys, ctypes, signal; b = [bytearray(5 << 20), *map(str, range(300_000))]; signal.alarm(0)"
    )
    assert family.restored(before=busy).only == [False, False]


def test_a_segmentation_fault_is_still_one(family: Family) -> None:
    family.template("import ctypes, faulthandler; faulthandler.enable()", "ctypes.string_at(8)")
    ended = family.restored()
    assert ended.status == -signal.SIGSEGV
    assert "Segmentation fault" in ended.errors


def test_an_exception_that_nobody_catches_has_its_traceback(family: Family) -> None:
    family.template("def f(): raise KeyError('k')", "f()")
    ended = family.restored()
    assert ended.status == 1
    assert ended.errors.endswith("KeyError: 'k'\n")


def test_a_restored_process_is_not_captured_again(family: Family) -> None:
    family.template("", "try:\n image.capture(IMAGE_FD)\nexcept OSError as e:\n say(str(e))")
    assert "cannot be captured again" in family.restored().only


def test_a_template_with_a_second_thread_is_told_so_and_goes_on(family: Family) -> None:
    told = family.template(
        """
        import threading
        wait = threading.Event(); thread = threading.Thread(target=wait.wait); thread.start()
        try:
            image.capture(IMAGE_FD)
        except OSError as error:
            say(str(error))
        wait.set(); thread.join()
        """,
        "say('restored')",
    )
    assert told.said == ["[Errno 16] the process has 2 threads, and an image holds one", "captured"]
    assert family.restored().only == "restored"


def test_a_template_with_shared_memory_is_told_so(family: Family) -> None:
    told = family.template("import mmap; m = mmap.mmap(-1, 4096)")
    assert told.status == 1
    assert "memory is shared and writable: /dev/zero (deleted)" in told.errors


def test_three_hundred_restorations_in_a_row_answer_the_same(family: Family) -> None:
    family.template("import json, re, logging; x = list(range(1000))", "say([sum(x), message.decode()])")
    assert [family.restored(str(n)).only for n in range(300)] == [[499_500, str(n)] for n in range(300)]


GIVE_UP_RIGHTS = """
import ctypes, os
os.getuid() or os.setuid(65534)
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)   # not dumpable: what /proc tells of it belongs to root
"""


def test_processes_that_gave_their_rights_up_are_captured_and_restored(family: Family) -> None:
    init = "x = bytearray(b'x' * 9_000_000); left = snapshot.obstacles(open_now())"
    after = "say([sum(x) == 9_000_000 * ord('x'), left, snapshot.obstacles(open_now())])"
    template = family.template(GIVE_UP_RIGHTS + init, after)
    assert template.said == ["captured"], template.errors
    assert family.restored(before=GIVE_UP_RIGHTS).only == [True, [], []]


def test_a_blank_of_another_zygote_is_refused_and_unharmed(make_family: Callable[..., Family]) -> None:
    first = make_family()
    assert first.template("x = 1").said == ["captured"]
    ended = make_family(first.image_fd).restored()
    assert ended.only == [18, "the image was written by a process of another zygote"]
