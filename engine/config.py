"""F0: Lambda's numeric limits and the engine's own bounds, each with its source. Prices are data, not here."""

from __future__ import annotations

from typing import Final, Literal

# Lambda's quotas: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MEMORY_MIN_MB: Final = 128
MEMORY_MAX_MB: Final = 10_240
MEMORY_DEFAULT_MB: Final = 128
MEMORY_PER_VCPU_MB: Final = 1_769
TIMEOUT_MIN_S: Final = 1
TIMEOUT_MAX_S: Final = 900
TIMEOUT_DEFAULT_S: Final = 3
INIT_TIMEOUT_S: Final = 10
INIT_AHEAD_TIMEOUT_S: Final = 130  # of what is initialised before anyone waits; or the function's own limit if longer
EPHEMERAL_MIN_MB: Final = 512
EPHEMERAL_MAX_MB: Final = 10_240
EVENT_MAX_BYTES: Final = 6_291_456
ASYNC_EVENT_MAX_BYTES: Final = 1_048_576
ANSWER_MAX_BYTES: Final = 6_291_556
STREAM_MAX_BYTES: Final = 209_715_200  # of an answer that is streamed
CLIENT_CONTEXT_MAX_BYTES: Final = 3_583
ENVIRONMENT_MAX_BYTES: Final = 4_096
ZIP_MAX_BYTES: Final = 52_428_800
UNZIPPED_MAX_BYTES: Final = 262_144_000
LAYERS_MAX: Final = 5
CODE_STORAGE_MAX_BYTES: Final = 80_530_636_800  # of all versions and layers as zips: 75 GB
NETWORKS: Final = ("host", "loopback", "none")  # what a function may reach; Lambda has no such setting
ACCOUNT_CONCURRENCY: Final = 1_000
UNRESERVED_CONCURRENCY_MIN: Final = 100
LOG_TAIL_BYTES: Final = 4_096

# Asynchronous invocation: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
RETRY_ATTEMPTS_MAX: Final = 2  # which is also the default
EVENT_AGE_MIN_S: Final = 60
EVENT_AGE_MAX_S: Final = 21_600  # which is also the default
HOPS_MAX: Final = 16  # of one function in one chain: docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html

# Schedules: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_RetryPolicy.html
SCHEDULE_RETRY_ATTEMPTS_MAX: Final = 185
SCHEDULE_EVENT_AGE_MAX_S: Final = 86_400

# Names in ARNs. Twelve zeros is the account id that local Lambda tools use.
REGION_DEFAULT: Final = "us-east-1"
ACCOUNT_ID_DEFAULT: Final = "000000000000"

# The engine's own bounds.
CODE_PART_BYTES: Final = 1_048_576  # of a zip that is read at a time, where nothing else is asked for
CODE_PART_MAX_BYTES: Final = 4_194_304  # which fits into a message
ENVIRONMENTS_MAX: Final = 1_000  # of one function version; Lambda starts at most 1,000 per 10 s
KEEP_ALIVE_S: Final = 600.0
EVICTION: Final[Literal["greedy-dual"]] = "greedy-dual"
LOG_PER_INVOCATION_BYTES: Final = 1_048_576
LOG_PER_FUNCTION_BYTES: Final = 16_777_216
EVENTS_MAX: Final = 1_000_000  # accepted and not done; one function's may be half of them
EVENT_QUEUE_BYTES: Final = 4_294_967_296  # of events on disk; one function's may be half of it
LEDGER_BYTES: Final = 1_073_741_824  # of the ledger's segments on disk; the sums stay for ever
LEDGER_RECORDS: Final = 65_536  # kept in memory per function version; older ones live on in the totals
