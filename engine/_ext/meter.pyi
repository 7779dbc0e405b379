class Histogram:
    count: int
    max_ns: int
    def record(self, value_ns: int) -> None: ...
    def percentile_ns(self, percent: float) -> int: ...
    @property
    def mean_ns(self) -> float: ...

class Ledger:
    appended: int
    def __init__(self, most: int) -> None: ...
    @property
    def oldest(self) -> int: ...
    def row(self, number: int) -> tuple[bytes, int, int, int, int, int, int, int, int, int, int, str, int]: ...

class Meter:
    ledger: Ledger
    durations: Histogram
    inits: Histogram
    waits: Histogram
    invocations: int
    errors: int
    timeouts: int
    billed_ms: int
    throttles: int
    serials: int
    def __init__(self, records_max: int) -> None: ...
    @property
    def colds(self) -> int: ...
    @property
    def warms(self) -> int: ...
    @property
    def restored(self) -> int: ...
    @property
    def provisioned(self) -> int: ...

class Quota:
    limit: int
    used: int
    borrowed: int
    reason: str
    beyond: Quota | None
    def __init__(self, limit: int, reason: str, beyond: Quota | None = None) -> None: ...
    @property
    def most(self) -> int: ...
