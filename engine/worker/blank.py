"""A blank: an environment that is forked, sandboxed and in its cell before anybody knows for which function.

What the zygote forks is the environment's init; it forks the blank and watches over it. The blank says b"B" on its
control socket, waits there for its order and then for the word that its limits are set, furnishes and confines itself,
and only then becomes that function's environment. Until then it runs nothing but the engine's own code.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from itertools import pairwise

from .._ext import linux
from ..sandbox import root
from ..sandbox.jail import Jail
from . import environment, prime, template
from .runtime_api import peers, shim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Born = tuple[int, int]

ORDER_BYTES = 131_072  # an order holds 4 KB of variables and a few paths
ORDER_FDS = 8
FDS_MOST = 1 << 20
FAILURE_BYTES = 4_000
PRIME = "prime"  # not its last order: another follows
PURPOSES = {"environment": environment.run, "template": template.make, "copy": template.become, "runtime": shim.run}


def bear(jail: Jail, worker: environment.Worker, order: dict[str, Any], fds: list[int], zygote_pidfd: int) -> Born:
    """Fork an environment and its init: the init's pid and pidfd. In the environment it never returns.

    `fds`: the control socket, then the entries of the cell to move into, or its directory to be born in.
    """
    control, *entries = fds
    cgroup_fd = entries.pop() if order["into_cgroup"] else -1
    pid, pidfd = jail.bear(cgroup_fd, control, tuple(entries), zygote_pidfd)
    if pid == 0:
        code = 1
        try:
            code = _live(jail, worker, control, order["rehearse"])
        finally:
            os._exit(code)
    return pid, pidfd


def _live(jail: Jail, worker: environment.Worker, control: int, rehearse: bool) -> int:
    """In the environment: the exit status of the process. Its init may be gone already, and then the kernel ends it."""
    linux.die_with_parent(signal.SIGKILL)
    worker.settle_after_fork()
    _close_all_but(0, 1, 2, control)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return _wait_for_order(jail, worker, socket.socket(fileno=control), rehearse)


def _wait_for_order(jail: Jail, worker: environment.Worker, control: socket.socket, rehearse: bool) -> int:
    os.setsid()
    os.umask(0o022)
    try:
        jail.make_ready()
        if rehearse:
            worker.rehearse()
        given = _take_order(jail, control)
    except Exception as error:  # noqa: BLE001  # nobody else would ever hear of it
        return _failed(control.fileno(), error)
    control.close()
    if given is None:
        return 0
    order, fds = given
    return PURPOSES[order["purpose"]](worker, order, fds)


def _take_order(jail: Jail, control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The order and its descriptors, once this process is ready to obey it; None when the engine is gone."""
    control.send(b"B")
    primed = None
    while True:
        message, fds, _, _ = socket.recv_fds(control, ORDER_BYTES, ORDER_FDS)
        if not message:
            return None
        order = json.loads(message)
        if order["purpose"] != PRIME:
            break
        primed = _prime(jail, order, fds)
    question = peers.open_question() if _shares_network(order) else -1
    made = _move_in(jail, order, fds, primed is not None)
    if made is not None:
        socket.send_fds(control, [b"N"], [made])
        os.close(made)
    if primed is not None:
        order["primed"] = primed.pid
        fds[2:] = [primed.log_fd, *fds[2:], primed.channel_fd]
    if question >= 0:
        order["question"] = True
        fds.append(question)
    return (order, fds) if control.recv(1) == b"G" else None


def _shares_network(order: dict[str, Any]) -> bool:
    """Whether a Runtime API is where others of this host can reach it."""
    return "runtime" in order and order["room"]["network"] == "host"


def _prime(jail: Jail, order: dict[str, Any], fds: list[int]) -> prime.Primed:
    """Start a runtime for a function to come. fds: its log pipe's end, and a mount to be /tmp if there is one."""
    if order["room"]["has_scratch"]:
        jail.show_at_tmp(fds.pop())
    _connect(jail, order, None)
    _use_inner_homes(order["runtime"])
    places = {**root.RUNTIME_PLACES, "task": root.TASK, "opt": root.LAYERS}
    return prime.start(jail, order, places, fds[0])


def _move_in(jail: Jail, order: dict[str, Any], fds: list[int], is_primed: bool) -> int | None:
    """Take the function's place in the sandbox: code, /tmp, network, user, filters. A network namespace if one is made.

    fds: what the order's purpose takes; then the function's network namespace if it has one; then a mount to be /tmp
    if it is not to be memory. Where a runtime is primed, /tmp and network are there already.
    """
    room = order["room"]
    tmp_fd = fds.pop() if room["has_scratch"] else None
    jail.furnish(order["surroundings"]["task_root"], order["layers"], room["tmp_mb"], tmp_fd)
    made = None if is_primed else _connect(jail, order, fds.pop() if room["has_namespace"] else None)
    order["stdlib"] = jail.stdlib
    if jail.is_rooted:
        _use_lambdas_paths(order)
    jail.confine(room["uid"], readable=[] if jail.is_rooted else _readable(jail, order))
    return made


def _connect(jail: Jail, order: dict[str, Any], namespace_fd: int | None) -> int | None:
    """The function's network. A runtime has one of its own: ports that it listens at must not meet another's."""
    network = order["room"]["network"]
    if "runtime" not in order or network == "host":
        return jail.connect(network, namespace_fd)
    made = jail.connect("loopback", None)  # where the Runtime API is, whatever else can be reached
    if made is not None:
        os.close(made)
    return None


def _use_lambdas_paths(order: dict[str, Any]) -> None:
    """The order speaks of the host's folders; from here they are where Lambda has them."""
    given = order["surroundings"]
    given["task_root"], given["runtime_dir"] = root.TASK, root.RUNTIME
    order["layers"] = [root.LAYERS] if order["layers"] else []
    if "runtime" in order:
        _use_inner_homes(order["runtime"])


def _use_inner_homes(runtime: dict[str, Any]) -> None:
    """The interpreter, its bootstrap and what it needs, by where the sandbox has them."""
    runtime["places"] = dict(root.RUNTIME_PLACES)
    for home in runtime["homes"]:
        inside = root.LANGUAGE if runtime["is_own"] else root.home_inside(home)
        runtime["language_root"] = inside
        runtime["command"] = [part.replace(f"{home}/", f"{inside}/") for part in runtime["command"]]
        runtime["variables"] = {
            name: value.replace(f"{home}/", f"{inside}/") for name, value in runtime["variables"].items()
        }


def _readable(jail: Jail, order: dict[str, Any]) -> list[str]:
    """Without a root directory of its own: what an environment must see of the host."""
    given = order["surroundings"]
    runtime = given["runtime_dir"]
    packages = [os.path.realpath(f"{runtime}/{name}") for name in os.listdir(runtime)]
    others = order.get("runtime", {"places": {}, "homes": []})
    return [
        given["task_root"],
        runtime,
        *packages,
        *order["layers"],
        *jail.stdlib,
        *others["places"].values(),
        *others["homes"],
    ]


def _failed(control: int, error: Exception) -> int:
    os.write(control, b"F" + (str(error) if isinstance(error, OSError) else repr(error)).encode()[:FAILURE_BYTES])
    return 1


def _close_all_but(*kept: int) -> None:
    for low, high in pairwise([*sorted(kept), FDS_MOST]):
        os.closerange(low + 1, high)
