"""Limits on a real cgroup v2 system, which QEMU emulates: run by `pytest -m qemu`, since it takes a minute or two.

Where v1 has the controllers mounted, no v2 with controllers can be had; so another kernel is booted, with this
machine's Python, packages and tests as its initrd. It says over its serial line how each part ended; a machine that
crashes, hangs or says nothing fails.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from glob import glob
from pathlib import Path

import pytest
from initrd import TREE, write_initrd

import engine

pytestmark = pytest.mark.qemu
KERNELS = "/boot/vmlinuz-*-cloud-amd64"
KERNEL = "ENGINE_TEST_KERNEL"
LONGEST_S = 900
PARTS = ("service", "engine", "delegated", "session")


def found(name: str, package: str) -> Path:
    path = shutil.which(name)
    assert path, f"no {name} on this machine (Debian: {package})"
    return Path(path)


def kernel() -> Path:
    named = os.environ.get(KERNEL)
    kernels = [named] if named else sorted(glob(KERNELS))
    assert kernels, f"no kernel at {KERNELS} (Debian: linux-image-cloud-amd64); name another by {KERNEL}"
    return Path(kernels[-1])


@pytest.fixture(scope="module")
def serial_line(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Everything that the machine said until it ended or was ended."""
    assert platform.machine() == "x86_64", f"{platform.machine()}: this boots an x86-64 machine from this one's files"
    qemu, booted = found("qemu-system-x86_64", "qemu-system-x86"), kernel()
    initrd = tmp_path_factory.mktemp("machine") / "initrd"
    write_initrd(initrd, found("busybox", "busybox-static"), Path(__file__).with_name("guest.sh"))
    words = {"python": sys.executable, "tree": TREE, "path": Path(engine.__file__).parent.parent}
    line = " ".join(["console=ttyS0 quiet panic=-1", *(f"engine.{name}={word}" for name, word in words.items())])
    argv = [str(qemu), "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048", "-no-reboot"]
    argv += ["-display", "none", "-monitor", "none", "-nic", "none", "-serial", "stdio"]
    argv += ["-kernel", str(booted), "-initrd", str(initrd), "-append", line]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            said, _ = process.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            said += f"\nENDED AFTER {LONGEST_S} s".encode()
    initrd.unlink()
    text = said.decode(errors="replace").replace("\r\n", "\n")
    sys.stdout.write(text)  # pytest shows it with what fails first
    return text


def test_the_machine_has_v2_with_all_controllers(serial_line: str) -> None:
    machine = re.search(r"^MACHINE (.*)$", serial_line, re.MULTILINE)
    assert machine
    assert {"memory", "cpu", "pids"} <= set(machine[1].split())


@pytest.mark.parametrize("part", PARTS)
def test_every_test_of_a_part_passes_there(serial_line: str, part: str) -> None:
    assert re.findall(rf"^PART {part}: (\d+)$", serial_line, re.MULTILINE) == ["0"]


def test_no_cgroup_is_left_there(serial_line: str) -> None:
    assert re.search(r"^LEFT nothing$", serial_line, re.MULTILINE)
