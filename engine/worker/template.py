"""Snapshots at the worker's end: a template runs a function's init and writes its memory; copies go on from there.

A template is a blank like any other that was told to make a snapshot instead of serving. A copy is a blank, sandboxed
for good, that turns into the template's memory: it comes out of the same call in `make`, and serves. What the memory
does not hold is `snapshot.py`'s, and how it gets from one process into another `ext/image.pyx`'s.
"""

from __future__ import annotations

import gc
import json
import marshal
import os
import sys
import time

from .._ext import image
from ..runtimes.bootstraps.python import faults
from . import environment, snapshot, surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TOLD_BYTES = 32_768  # of a report's text at most
TMP = "/tmp"
MB = 1_048_576
REFUSED = "Runtime.SnapshotRefused"  # our own: Lambda takes any init, and its copies find what does not work


def make(worker: environment.Worker, order: dict[str, Any], fds: list[int]) -> int:
    """Run init and the hooks before a snapshot, then write the snapshot. The exit status of the process: of the
    template 0 when the snapshot is whole, of a copy what `serve` came to.

    fds: where the template's output goes, and files for its report (JSON), its memory, and what is in its /tmp.
    """
    start_ns = time.monotonic_ns()
    environment.settle_in(fds, fds[0])
    _, report_fd, image_fd, tmp_fd = fds
    place = worker.place
    try:
        variables = environment.enter(order)
        environment.use_codec(worker, variables)
        environment.run_init(worker, order)
        init_ns = time.monotonic_ns() - start_ns
        snapshot.run_before_snapshot()
        snapshot.end_library_threads()
        hindered = snapshot.obstacles(fds)
        if hindered:
            return _report(report_fd, error_type=REFUSED, message="; ".join(hindered))
        kept = snapshot.Kept.of_this_process(fds)
        tmp_bytes = snapshot.pack_tmp(TMP, tmp_fd, order["room"]["tmp_mb"] * MB)
        place.flush()
        snapshot.reseed()  # what OpenSSL and others make for the first time is made here, once, not in each copy
        gc.collect()
        gc.freeze()  # a collection in a copy would write to every page
        message = image.capture(image_fd)
    except snapshot.HookError as failed:
        place.fault(failed.error, "")
        return _report(report_fd, error_type=failed.error_type, message=str(failed.error))
    except Exception as error:  # noqa: BLE001  # init runs the user's code, which may raise anything
        _, error_type = place.fault(error, "")
        return _report(report_fd, error_type=error_type, message=faults.text_of(error))
    if message is None:
        return _report(report_fd, init_ns=init_ns, tmp_bytes=tmp_bytes)
    return environment.to_its_end(lambda: _go_on(worker, marshal.loads(message), kept, tmp_bytes))


def _report(report_fd: int, *, error_type: str = "", message: str = "", init_ns: int = 0, tmp_bytes: int = 0) -> int:
    told = {"error_type": error_type, "message": message[:TOLD_BYTES], "init_ns": init_ns, "tmp_bytes": tmp_bytes}
    os.write(report_fd, json.dumps(told).encode())
    return 1 if error_type else 0


def become(_: environment.Worker, order: dict[str, Any], fds: list[int]) -> int:
    """Be a copy from here on. Returns only where that cannot be, the exit status of the process.

    fds: region, its eventfd, the log pipe's end, the template's memory, what was in its /tmp.
    """
    start_ns = time.monotonic_ns()
    environment.settle_in(fds, fds[2])
    message = marshal.dumps({"order": order, "fds": fds, "start_ns": start_ns})  # json would touch 130 pages more
    try:
        image.restore(fds[3], message)
    except OSError as error:
        print(f"[engine] the snapshot cannot be used: {error}", file=sys.stderr)  # noqa: T201  # the function's log
    return 1


def _go_on(worker: environment.Worker, told: dict[str, Any], kept: snapshot.Kept, tmp_bytes: int) -> int:
    """A copy's first steps: its own randomness, variables, files and place, then the hooks after a restoration."""
    restored_ns = time.monotonic_ns()
    order, fds = told["order"], told["fds"]
    place = worker.place
    snapshot.reseed()
    variables = surroundings.environment_variables(**order["surroundings"])
    snapshot.refresh(variables)
    if tmp_bytes:
        snapshot.unpack_tmp(fds[4], TMP)
    os.close(fds[4])
    kept.put_back()
    environment.open_port(worker, order, fds[:3], variables)
    try:
        snapshot.run_after_restore()
    except snapshot.HookError as failed:
        place.fault(failed.error, "")
        place.flush()
        place.init_ended(told["start_ns"], True, failed.error_type)
        return failed.exit_status
    place.init_ended(told["start_ns"], False, "", restored_ns)
    place.serve()
    return 0
