"""F1: `provided`, `provided.al2`, `provided.al2023`: the function brings its own `bootstrap` executable."""

from __future__ import annotations

from collections.abc import Sequence

from .contract import Interpreter, Launch, Subject


class Provided:
    """Go, Rust, shell scripts, whatever runs on this host."""

    name = "provided"

    def serves(self, runtime: str) -> bool:
        return runtime == "provided" or runtime.startswith("provided.")

    def homes(self) -> Sequence[str]:
        return ()

    def installed(self) -> Sequence[Interpreter]:
        return (Interpreter("bootstrap", "the function's own"),)

    def choose(self, runtime: str) -> Interpreter:
        return self.installed()[0]

    def is_exact(self, runtime: str, interpreter: Interpreter) -> bool:
        return True

    def launch(self, interpreter: Interpreter, subject: Subject) -> Launch:
        return Launch(("{bootstrap}",))  # in the code, else in a layer: the environment looks
