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
    def row(self, number: int) -> tuple[bytes, int, int, int, int, int, int, int, int, int, int, str]: ...

class Meter:
    ledger: Ledger
    durations: Histogram
    inits: Histogram
    waits: Histogram
    invocations: int
    errors: int
    timeouts: int
    colds: int
    billed_ms: int
    throttles: int
    serials: int
    def __init__(self, records_max: int) -> None: ...

class Quota:
    limit: int
    used: int
    reason: str
    def __init__(self, limit: int, reason: str) -> None: ...
