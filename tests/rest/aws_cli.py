"""AWS's own command line as a user runs it: a process, an empty home, credentials that are none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from gateways import REGION, Gateway

COMMAND = [sys.executable, "-P", "-m", "awscli"]
PATIENCE_S = 120


def tool_environment(home: Path, gateway: Gateway) -> dict[str, str]:
    """For tools of AWS: nothing of this user's own, and Lambda at the gateway."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    return {
        **kept,
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": "a-key",
        "AWS_SECRET_ACCESS_KEY": "a-secret",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_PAGER": "",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_LAMBDA": gateway.url,
    }


class AwsCli:
    """Runs in a folder of its own, which is its home too."""

    def __init__(self, folder: Path, gateway: Gateway) -> None:
        self.folder = folder
        self.gateway = gateway
        self._environment = tool_environment(folder, gateway)

    def run(self, line: str, *more: str) -> subprocess.CompletedProcess[str]:
        """`aws` with the words of a line, and arguments that have spaces in them."""
        command = [*COMMAND, *line.split(), *more]
        return subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=PATIENCE_S
        )

    def told(self, line: str, *more: str) -> Any:
        """What it printed, as JSON: None for nothing. It must succeed."""
        done = self.run(line, *more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def refused(self, line: str, *more: str) -> str:
        """What it said of a command that was refused."""
        done = self.run(line, *more)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def invoked(self, line: str, *more: str) -> tuple[Any, Any]:
        """`aws lambda invoke`: what it printed, and the answer that it wrote to a file."""
        printed = self.told(f"lambda invoke {line}", *more, "answer.json")
        return printed, json.loads((self.folder / "answer.json").read_bytes() or b"null")

    def zip(self, name: str, *files: str) -> None:
        """`zip`, of files in the folder."""
        subprocess.run(["zip", "-q", name, *files], cwd=self.folder, check=True)
