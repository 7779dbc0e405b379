"""F3: what a caller is told when an environment did not answer, in Lambda's words. Pure functions."""

from __future__ import annotations

import json
import os
import signal
from typing import NamedTuple

from ..states import Outcome


class Ending(NamedTuple):
    """The answer to an invocation that the core ends itself, and what its records say."""

    payload: bytes
    outcome: Outcome
    error_type: str


def timed_out(request_id: str, timeout_s: int) -> Ending:
    """The function's time limit passed."""
    message = f"RequestId: {request_id} Error: Task timed out after {timeout_s:.2f} seconds"
    return _ending("Sandbox.Timedout", message, Outcome.TIMEOUT)


def exited(request_id: str, wait_status: int, *, out_of_memory: bool) -> Ending:
    """Its process ended, with this status of waitpid(2)."""
    reason = exit_reason(wait_status)
    message = f"RequestId: {request_id} Error: {reason}"
    return _ending("Runtime.ExitError", message, Outcome.OOM if out_of_memory else Outcome.EXIT)


def exit_reason(wait_status: int) -> str:
    """Lambda's words for how a process ended."""
    if os.WIFSIGNALED(wait_status):
        return f"Runtime exited with error: signal: {_signal_words(os.WTERMSIG(wait_status))}"
    code = os.waitstatus_to_exitcode(wait_status)
    if code == 0:
        return "Runtime exited without providing a reason"
    return f"Runtime exited with error: exit status {code}"


def _signal_words(number: int) -> str:
    """As Go's os package names signals, which is where Lambda's words come from."""
    words: dict[int, str] = {
        signal.SIGKILL: "killed",
        signal.SIGTERM: "terminated",
        signal.SIGSEGV: "segmentation fault",
        signal.SIGABRT: "aborted",
        signal.SIGINT: "interrupt",
        signal.SIGHUP: "hangup",
        signal.SIGBUS: "bus error",
        signal.SIGFPE: "floating point exception",
        signal.SIGILL: "illegal instruction",
        signal.SIGPIPE: "broken pipe",
        signal.SIGALRM: "alarm clock",
        signal.SIGTRAP: "trace/breakpoint trap",
        signal.SIGQUIT: "quit",
        signal.SIGUSR1: "user defined signal 1",
        signal.SIGUSR2: "user defined signal 2",
        signal.SIGXCPU: "CPU time limit exceeded",
        signal.SIGXFSZ: "file size limit exceeded",
        signal.SIGVTALRM: "virtual timer expired",
        signal.SIGPROF: "profiling timer expired",
        signal.SIGIO: "I/O possible",
        signal.SIGPWR: "power failure",
        signal.SIGSYS: "bad system call",
    }
    return words.get(number, f"signal {number}")


def _ending(error_type: str, message: str, outcome: Outcome) -> Ending:
    document = {"errorType": error_type, "errorMessage": message}
    return Ending(json.dumps(document, separators=(",", ":")).encode(), outcome, error_type)
