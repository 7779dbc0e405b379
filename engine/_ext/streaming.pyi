from .._ext.flow import Flow
from .._ext.lane import Lane
from .._ext.scheduler import Scheduler

def begin(
    scheduler: Scheduler,
    lane: Lane,
    payload: bytes,
    extra: bytes,
    wants_tail: bool,
    flow: Flow,
    *,
    on_loop: bool = True,
) -> None: ...
def wait(scheduler: Scheduler, lane: Lane, flow: Flow) -> None: ...
