"""libFuzzer looks for bytes that break the framing, guided by what they reach, under address and UB sanitizers.

ENGINE_FUZZ_S: for how long; 8 seconds unless told otherwise, hours before a release.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import msgpack
import pytest

ROOT = Path(__file__).parent.parent.parent
FUZZ_S = int(os.environ.get("ENGINE_FUZZ_S", "8"))
MESSAGES = [
    [0, 1, "ping", []],
    [0, 2**32 - 1, "invoke", ["echo", b'{"key":"value"}']],
    [0, 70_000, "invoke", ["echo:live", '{"n": 1}', {"qualifier": "1", "log_tail": True}]],
    [0, 200, "invoke", ["arn:aws:lambda:us-east-1:000000000000:function:echo", None, None]],
    [2, "invoke", ["echo", b"x" * 300]],
    [0, 3, "create_function", [{"name": "x", "environment": {"K": "V"}, "layers": [b"", b"PK"], "timeout_s": 3.5}]],
    [0, 4, "stats", [{"a": [[[[[]]]]], "b": -1, "c": -70_000, "d": 2**63, "e": True}]],
]


def built(folder: Path) -> Path:
    assert shutil.which("clang"), "clang with its libFuzzer is missing (Debian: clang libclang-rt-14-dev)"
    target = folder / "wire_fuzz"
    command = ["clang", "-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined"]
    source = Path(__file__).with_name("wire_fuzz.c")
    said = subprocess.run([*command, f"-I{ROOT / 'ext'}", str(source), "-o", str(target)], capture_output=True)
    assert said.returncode == 0, said.stderr.decode()
    return target


def seeds(folder: Path) -> Path:
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, message in enumerate(MESSAGES):
        corpus.joinpath(str(number)).write_bytes(b"\x07" + msgpack.packb(message))
    return corpus


@pytest.mark.usefixtures("tmp_path")
def test_no_bytes_break_the_framing(tmp_path: Path) -> None:
    limits = [f"-max_total_time={FUZZ_S}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=1024", "-verbosity=0"]
    command = [str(built(tmp_path)), *limits, f"-artifact_prefix={tmp_path}/", str(seeds(tmp_path))]
    run = subprocess.run([*command, "-print_final_stats=1"], capture_output=True, cwd=tmp_path, timeout=FUZZ_S + 120)
    said = run.stderr.decode("utf-8", "replace")
    assert run.returncode == 0, said[-8_000:]
    runs = next(int(line.split()[-1]) for line in said.splitlines() if "number_of_executed_units" in line)
    assert runs > 1_000, said
