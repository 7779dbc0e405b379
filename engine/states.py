"""F0: the life of an environment as a literal transition table, and how an invocation can end.

The life of an invocation is the phase of its slot's word (FREE, READY, CLAIMED, DONE), which lives in shared memory:
its table is the head essay of ext/engine/_ext/queue.pxd. Nothing about either life is kept anywhere else.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import Final


class State(Enum):
    """Where an environment is."""

    STARTING = "starting"  # ordered from the zygote; its init runs
    READY = "ready"  # takes invocations
    FAILED = "failed"  # its init failed: it is ending by itself
    RETIRING = "retiring"  # asked to end once it is idle
    KILLING = "killing"  # sent SIGKILL
    GONE = "gone"  # reaped, and everything it left behind


class Event(Enum):
    """What happens to an environment."""

    INIT_DONE = "init done"
    INIT_FAILED = "init failed"
    RETIRE = "retire"  # idle too long, superseded, or memory is short
    KILL = "kill"  # over its time or memory, broke the protocol, or the engine closes
    ENDED = "ended"  # the zygote reaped it


TRANSITIONS: Final = MappingProxyType(
    {
        (State.STARTING, Event.INIT_DONE): State.READY,
        (State.STARTING, Event.INIT_FAILED): State.FAILED,
        (State.STARTING, Event.RETIRE): State.RETIRING,
        (State.STARTING, Event.KILL): State.KILLING,
        (State.STARTING, Event.ENDED): State.GONE,
        (State.READY, Event.RETIRE): State.RETIRING,
        (State.READY, Event.KILL): State.KILLING,
        (State.READY, Event.ENDED): State.GONE,
        (State.FAILED, Event.RETIRE): State.FAILED,
        (State.FAILED, Event.KILL): State.KILLING,
        (State.FAILED, Event.ENDED): State.GONE,
        (State.RETIRING, Event.INIT_DONE): State.RETIRING,
        (State.RETIRING, Event.INIT_FAILED): State.FAILED,
        (State.RETIRING, Event.RETIRE): State.RETIRING,
        (State.RETIRING, Event.KILL): State.KILLING,
        (State.RETIRING, Event.ENDED): State.GONE,
        (State.KILLING, Event.INIT_DONE): State.KILLING,
        (State.KILLING, Event.INIT_FAILED): State.KILLING,
        (State.KILLING, Event.RETIRE): State.KILLING,
        (State.KILLING, Event.KILL): State.KILLING,
        (State.KILLING, Event.ENDED): State.GONE,
    }
)


def step(state: State, event: Event) -> State:
    """The next state. Raises RuntimeError for what cannot happen: that is a bug of the engine's own."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise RuntimeError(f"an environment that is {state.value} cannot see {event.value!r}") from None


class Outcome(Enum):
    """How an invocation ended. The values are the codes of the compiled ledger."""

    OK = 0
    ERROR = 1  # the function raised, or its answer could not be taken
    TIMEOUT = 2
    EXIT = 3  # its process ended
    OOM = 4
