"""F0: the checks that Lambda makes on names and settings before it stores anything, in Lambda's wording.

No state and no lookups: whether a function exists is the catalog's question.

Patterns, ranges and runtime names are facts of AWS's service model `lambda` 2015-03-31. Where that model is wider than
an ordinary function (memory to 32,768 MB, timeout to 5,400 s), the limits are those of the quotas page in `config`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from . import config
from .errors import InvalidParameterValueException, LambdaError, ValidationException

_ARN_HEAD: Final = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?"
_REGION: Final = r"((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?"
FUNCTION_REFERENCE_PATTERN: Final = (
    _ARN_HEAD + _REGION + r"(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)
FUNCTION_NAME_PATTERN: Final = r"[a-zA-Z0-9-_]+"
QUALIFIER_PATTERN: Final = r"(|[a-zA-Z0-9$_-]+)"
ALIAS_PATTERN: Final = r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)"
HANDLER_PATTERN: Final = r"[^\s]+"
ROLE_PATTERN: Final = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
DESTINATION_PATTERN: Final = (
    r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:"
    r"((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)"
)
DEAD_LETTER_PATTERN: Final = r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()"
TENANT_ID_PATTERN: Final = r"[a-zA-Z0-9\._:\/=+\-@ ]+"
LOG_GROUP_PATTERN: Final = r"[\.\-_/#A-Za-z0-9]+"
ENVIRONMENT_NAME_PATTERN: Final = r"[a-zA-Z]([a-zA-Z0-9_])+"
ENVIRONMENT_NAME_TAKEN: Final = r"[a-zA-Z][a-zA-Z0-9_]*"  # one letter too, which Lambda refuses and programs use

FUNCTION_NAME_MAX: Final = 64
FUNCTION_REFERENCE_MAX: Final = 256  # NamespacedFunctionName: a full ARN with name and alias at their longest fits
QUALIFIER_MAX: Final = 128
HANDLER_MAX: Final = 128
DESCRIPTION_MAX: Final = 256
DESTINATION_MAX: Final = 350
RESOURCE_ARN_MAX: Final = 10_000
LOG_GROUP_MAX: Final = 512
TENANT_ID_MAX: Final = 256
TENANT_ISOLATION_MODES: Final = ("PER_TENANT",)
ARCHITECTURES: Final = ("x86_64", "arm64")
LOG_FORMATS: Final = ("JSON", "Text")
APPLICATION_LOG_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
SYSTEM_LOG_LEVELS: Final = ("DEBUG", "INFO", "WARN")

# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
On: TypeAlias = Literal["OnSuccess", "OnFailure", "DeadLetter"]
DESTINATION_SERVICES: Final[Mapping[On, tuple[str, ...]]] = {
    "OnSuccess": ("sqs", "sns", "lambda", "events"),
    "OnFailure": ("sqs", "sns", "lambda", "events", "s3"),
    "DeadLetter": ("sqs", "sns"),
}
_DESTINATION_MEMBERS: Final[Mapping[On, tuple[str, str, int]]] = {
    "OnSuccess": ("destinationConfig.onSuccess.destination", DESTINATION_PATTERN, DESTINATION_MAX),
    "OnFailure": ("destinationConfig.onFailure.destination", DESTINATION_PATTERN, DESTINATION_MAX),
    "DeadLetter": ("deadLetterConfig.targetArn", DEAD_LETTER_PATTERN, RESOURCE_ARN_MAX),
}
# What follows `arn:<partition>:<service>:`. Partner event buses, whose names have slashes, are no destinations.
_WHERE: Final = r"[a-z0-9-]+:\d{12}:"
_DESTINATION_SHAPES: Final = {
    "sqs": _WHERE + r"[a-zA-Z0-9_-]{1,80}",
    "sns": _WHERE + r"[a-zA-Z0-9_-]{1,256}",
    "lambda": _WHERE + r"function:[a-zA-Z0-9_-]{1,64}(:(\$LATEST|[a-zA-Z0-9_-]{1,128}))?",
    "events": _WHERE + r"event-bus/[a-zA-Z0-9._-]{1,256}",
    "s3": r"::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
}

_PYTHONS = tuple(f"python3.{minor}" for minor in range(8, 15))
_OTHER_RUNTIMES = (
    "nodejs nodejs4.3 nodejs4.3-edge nodejs6.10 nodejs8.10 nodejs10.x nodejs12.x nodejs14.x nodejs16.x nodejs18.x "
    "nodejs20.x nodejs22.x nodejs24.x nodejs26.x java8 java8.al2 java8.al2023 java11 java11.al2023 java17 "
    "java17.al2023 java21 java25 python2.7 python3.6 python3.7 python3.15 dotnetcore1.0 dotnetcore2.0 dotnetcore2.1 "
    "dotnetcore3.1 dotnet6 dotnet8 dotnet10 go1.x ruby2.5 ruby2.7 ruby3.2 ruby3.3 ruby3.4 ruby4.0 provided "
    "provided.al2 provided.al2023"
)
RUNTIMES_KNOWN: Final = (*_PYTHONS, *_OTHER_RUNTIMES.split())
# Of others Lambda itself has been rid for years.
_GONE = (
    "nodejs nodejs4.3 nodejs4.3-edge nodejs6.10 nodejs8.10 nodejs10.x python2.7 python3.6 python3.7 python3.15 "
    "dotnetcore1.0 dotnetcore2.0 dotnetcore2.1 dotnetcore3.1 go1.x ruby2.5"
)
RUNTIMES_RUN: Final = tuple(runtime for runtime in RUNTIMES_KNOWN if runtime not in _GONE.split())

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html ("Reserved environment variables")
_RESERVED = (
    "_HANDLER _X_AMZN_TRACE_ID AWS_DEFAULT_REGION AWS_REGION AWS_EXECUTION_ENV AWS_LAMBDA_FUNCTION_NAME "
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE AWS_LAMBDA_FUNCTION_VERSION AWS_LAMBDA_INITIALIZATION_TYPE "
    "AWS_LAMBDA_LOG_GROUP_NAME AWS_LAMBDA_LOG_STREAM_NAME AWS_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY "
    "AWS_SESSION_TOKEN AWS_LAMBDA_RUNTIME_API LAMBDA_TASK_ROOT LAMBDA_RUNTIME_DIR"
)
RESERVED_ENVIRONMENT: Final = frozenset(_RESERVED.split())

_SHOWN_MAX: Final = 1_024  # characters of a refused value that a message repeats
_REFERENCE = re.compile(
    r"(?P<arn>arn:(?:aws[a-zA-Z-]*)?:lambda:)?"
    r"(?:(?P<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?"
    r"(?:(?P<account>\d{12}):)?(?:function:)?(?P<name>[a-zA-Z0-9-_]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?",
    re.ASCII,
)


class FunctionReference(NamedTuple):
    """What a reference to a function says; None where it is silent."""

    name: str
    qualifier: str | None
    region: str | None
    account_id: str | None


def validate_function_name(name: object) -> None:
    """A bare name: letters, digits, `-` and `_`, 1 to 64 of them. Raises `ValidationException`."""
    refuse(text_problem(name, "functionName", FUNCTION_NAME_PATTERN, FUNCTION_NAME_MAX))


def validate_qualifier(qualifier: object) -> None:
    """A version number, `$LATEST` or an alias. Raises `ValidationException`."""
    refuse(text_problem(qualifier, "qualifier", QUALIFIER_PATTERN, QUALIFIER_MAX))


def validate_alias_name(name: object) -> None:
    """An alias: as a function's name, to 128 characters, and not all digits. Raises `ValidationException`."""
    refuse(text_problem(name, "name", ALIAS_PATTERN, QUALIFIER_MAX))


def validate_description(description: object) -> None:
    """At most 256 characters. Raises `ValidationException`."""
    refuse(text_problem(description, "description", None, DESCRIPTION_MAX))


def validate_reserved_concurrency(reserved: object) -> None:
    """A whole number, 0 or more. Raises `ValidationException`."""
    refuse(number_problem(reserved, "reservedConcurrentExecutions", 0, None))


def validate_provisioned_concurrency(provisioned: object) -> None:
    """A whole number, 1 or more. Raises `ValidationException`."""
    refuse(number_problem(provisioned, "provisionedConcurrentExecutions", 1, None))


def validate_tenant_id(tenant_id: object) -> None:
    """1 to 256 letters, digits, blanks and `._:/=+-@`. Raises `ValidationException`."""
    refuse(text_problem(tenant_id, "tenantId", TENANT_ID_PATTERN, TENANT_ID_MAX, least=1))


def validate_architecture(architecture: object) -> None:
    """x86_64 or arm64. Raises `ValidationException`."""
    refuse(_architecture(architecture))


def validate_destination(arn: object, *, on: On) -> None:
    """The ARN of what is told of events that succeeded or failed, or gets dead letters; "" is none.

    Whether it exists is not looked at. Raises `ValidationException` for what is no ARN, and
    `InvalidParameterValueException` for one of another service, or of a FIFO queue or topic.
    """
    refuse(_destination(arn, on))
    if arn:
        _check_destination(str(arn), on)


def validate_event_invoke_config(
    *,
    maximum_retry_attempts: object = None,
    maximum_event_age_s: object = None,
    on_success: object = None,
    on_failure: object = None,
) -> None:
    """What is to happen to events; None is not given. Raises as `validate_destination`, and when nothing is given."""
    given = maximum_retry_attempts, maximum_event_age_s, on_success, on_failure
    if all(value is None for value in given):
        raise InvalidParameterValueException("You must specify at least one of error handling or destination setting.")
    retries, age_s = maximum_retry_attempts, maximum_event_age_s
    least_s, most_s = config.EVENT_AGE_MIN_S, config.EVENT_AGE_MAX_S
    refuse(
        None if retries is None else number_problem(retries, "maximumRetryAttempts", 0, config.RETRY_ATTEMPTS_MAX),
        None if age_s is None else number_problem(age_s, "maximumEventAgeInSeconds", least_s, most_s),
        None if on_success is None else _destination(on_success, "OnSuccess"),
        None if on_failure is None else _destination(on_failure, "OnFailure"),
    )
    validate_destination(on_success or "", on="OnSuccess")
    validate_destination(on_failure or "", on="OnFailure")


def validate_configuration(
    *,
    function_name: object,
    handler: object,
    runtime: object,
    memory_mb: object,
    timeout_s: object,
    ephemeral_storage_mb: object,
    environment: object,
    layers_count: int,
    description: object,
    role: object,
    architecture: object,
    network: object = None,
    snap_start: object = False,
    dead_letter_target_arn: object = None,
    log_format: object = "Text",
    application_log_level: object = None,
    system_log_level: object = None,
    log_group: object = None,
    tenant_isolation: object = None,
) -> None:
    """Check the settings of one function together, so that one answer names everything that is out of range.

    Parameters are `object` because they come from outside: a wrong Python type is an answer too. Raises
    `ValidationException` for what the service model's patterns and ranges forbid, then
    `InvalidParameterValueException` for a runtime that is unknown or not run here, too many layers, reserved or
    too large environment variables, a dead-letter target that is none, log levels of a log that is text.
    """
    refuse(
        text_problem(function_name, "functionName", FUNCTION_NAME_PATTERN, FUNCTION_NAME_MAX),
        text_problem(handler, "handler", HANDLER_PATTERN, HANDLER_MAX),
        type_problem(runtime, "runtime", str),
        number_problem(memory_mb, "memorySize", config.MEMORY_MIN_MB, config.MEMORY_MAX_MB),
        number_problem(timeout_s, "timeout", config.TIMEOUT_MIN_S, config.TIMEOUT_MAX_S),
        number_problem(ephemeral_storage_mb, "ephemeralStorage.size", config.EPHEMERAL_MIN_MB, config.EPHEMERAL_MAX_MB),
        _environment_shape(environment),
        text_problem(description, "description", None, DESCRIPTION_MAX),
        text_problem(role, "role", ROLE_PATTERN, 10_000),
        _architecture(architecture),
        _network(network),
        _flag(snap_start, "snapStart"),
        None if dead_letter_target_arn is None else _destination(dead_letter_target_arn, "DeadLetter"),
        *_logging_problems(log_format, application_log_level, system_log_level, log_group),
        _tenancy(tenant_isolation),
    )
    _check_runtime(str(runtime))
    if log_format == "Text" and (application_log_level is not None or system_log_level is not None):
        raise InvalidParameterValueException(
            'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request or change '
            'the LogFormat to "JSON" and try again.'
        )
    validate_destination(dead_letter_target_arn or "", on="DeadLetter")
    if layers_count > config.LAYERS_MAX:
        raise InvalidParameterValueException(f"Cannot reference more than {config.LAYERS_MAX} layers.")
    if isinstance(environment, Mapping):
        _check_environment(environment)
    if snap_start and tenant_isolation is not None:
        raise InvalidParameterValueException(
            "SnapStart is not supported for functions with tenancy configuration: give one of them up."
        )
    if snap_start and isinstance(ephemeral_storage_mb, int) and ephemeral_storage_mb > config.EPHEMERAL_MIN_MB:
        raise InvalidParameterValueException(
            f"SnapStart does not support ephemeral storage above {config.EPHEMERAL_MIN_MB} MB, and this function has "
            f"{ephemeral_storage_mb} MB: give one of them up."
        )


def split_function_reference(text: object) -> FunctionReference:
    """Take apart `name`, `name:qualifier`, `account:function:name[:qualifier]` or a full ARN.

    Raises `ValidationException` in Lambda's wording when `text` is none of them. A text that could be read two ways
    (`function:x`) is read as the service model's pattern reads it: a prefix wins over a name.
    """
    problem = text_problem(text, "functionName", FUNCTION_REFERENCE_PATTERN, FUNCTION_REFERENCE_MAX)
    match = _REFERENCE.fullmatch(str(text)) if problem is None else None
    if match is None:
        raise _validation_error([problem or violation(text, "functionName", _must_match(FUNCTION_REFERENCE_PATTERN))])
    name = match["name"]
    if len(name) > FUNCTION_NAME_MAX:
        raise _validation_error([violation(name, "functionName", _at_most(FUNCTION_NAME_MAX))])
    return FunctionReference(name, match["qualifier"], match["region"], match["account"])


def parse_function_reference(text: object) -> tuple[str, str | None]:
    """`(name, qualifier)` of any form that `split_function_reference` takes, with its errors."""
    reference = split_function_reference(text)
    return reference.name, reference.qualifier


def merge_qualifier(derived: str | None, given: object) -> str | None:
    """The one qualifier that a reference (`derived`) and a separate argument (`given`) agree on; "" counts as none.

    Raises `InvalidParameterValueException` when both are there and differ, `ValidationException` for a malformed one.
    """
    if given is None or given == "":
        return derived
    validate_qualifier(given)
    if derived is not None and derived != given:
        raise InvalidParameterValueException(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    return str(given)


def _check_runtime(runtime: str) -> None:
    if runtime in RUNTIMES_RUN:
        return
    if runtime in RUNTIMES_KNOWN:
        raise InvalidParameterValueException(
            f"The runtime {runtime} is not run by this engine. It runs: {', '.join(RUNTIMES_RUN)}."
        )
    raise InvalidParameterValueException(
        f"Value {shown(runtime)} at 'runtime' failed to satisfy constraint: "
        f"Member must satisfy enum value set: [{', '.join(RUNTIMES_RUN)}] or be a valid ARN"
    )


def _check_destination(arn: str, on: On) -> None:
    service, where = (*arn.split(":", 3), "", "", "")[2:4]
    fifo = service in ("sqs", "sns") and arn.endswith(".fifo")
    if service in DESTINATION_SERVICES[on] and not fifo:
        if re.fullmatch(_DESTINATION_SHAPES[service], where, re.ASCII):
            return
        raise InvalidParameterValueException(f"The destination ARN {shown(arn)} is invalid.")
    takes = f"{on} takes the ARN of one of: {', '.join(DESTINATION_SERVICES[on])}; no FIFO queue or topic"
    if on != "DeadLetter":
        told = {"OnSuccess": "null", "OnFailure": "null", on: f"{on}(destination={arn})"}
        given = f"DestinationConfig(onSuccess={told['OnSuccess']}, onFailure={told['OnFailure']})"
        raise InvalidParameterValueException(f"The provided destination config {given} is invalid. {takes}")
    why = f"{shown(arn)} is neither an SQS queue nor an SNS topic"
    if fifo:
        kind = "SQS queue" if service == "sqs" else "SNS topic"
        why = f"FIFO {kind} is not supported for dead letter configuration"
    raise InvalidParameterValueException(f"Invalid dead letter queue ARN: {why}. {takes}")


def _check_environment(environment: Mapping[str, str]) -> None:
    refused = "Lambda was unable to configure your environment variables because the environment variables you have"
    reserved = [name for name in environment if name in RESERVED_ENVIRONMENT]
    if reserved:
        raise InvalidParameterValueException(
            f"{refused} provided contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    # Lambda measures the variables as compact JSON and repeats what it measured.
    measured = json.dumps(dict(environment), separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode()) > config.ENVIRONMENT_MAX_BYTES:
        told = measured if len(measured) <= 4 * config.ENVIRONMENT_MAX_BYTES else measured[:4096] + "…"
        raise InvalidParameterValueException(f"{refused} provided exceeded the 4KB limit. String measured: {told}")


def _environment_shape(environment: object) -> str | None:
    if not isinstance(environment, Mapping):
        return f"{type_problem(environment, 'environment.variables', dict)}"
    return next(_environment_problems(environment), None)


def _environment_problems(environment: Mapping[object, object]) -> Iterator[str]:
    for name, value in environment.items():
        if not isinstance(name, str) or not isinstance(value, str):
            odd, what = (name, "a key") if not isinstance(name, str) else (value, f"the value of {shown(name)}")
            yield f"Value of type {type(odd).__name__} at 'environment.variables': {what} must be str"
        elif name not in RESERVED_ENVIRONMENT and not re.fullmatch(ENVIRONMENT_NAME_TAKEN, name, re.ASCII):
            constraint = f"Map keys must satisfy constraint: [{_must_match(ENVIRONMENT_NAME_PATTERN)}]"
            yield violation(name, "environment.variables", constraint)
        elif "\0" in value or not _is_unicode(value):
            yield f"Value of {name} at 'environment.variables' has a character that no environment can hold"


def _architecture(architecture: object) -> str | None:
    if architecture in ARCHITECTURES:
        return None
    constraint = f"Member must satisfy constraint: [Member must satisfy enum value set: [{', '.join(ARCHITECTURES)}]]"
    return violation(f"[{architecture}]", "architectures", constraint)


def _destination(arn: object, on: On) -> str | None:
    return text_problem(arn, *_DESTINATION_MEMBERS[on])


def _logging_problems(
    log_format: object, application_level: object, system_level: object, group: object
) -> Iterator[str | None]:
    yield choice_problem(log_format, "loggingConfig.logFormat", LOG_FORMATS)
    if application_level is not None:
        yield choice_problem(application_level, "loggingConfig.applicationLogLevel", APPLICATION_LOG_LEVELS)
    if system_level is not None:
        yield choice_problem(system_level, "loggingConfig.systemLogLevel", SYSTEM_LOG_LEVELS)
    if group is not None:
        yield text_problem(group, "loggingConfig.logGroup", LOG_GROUP_PATTERN, LOG_GROUP_MAX, least=1)


def _tenancy(mode: object) -> str | None:
    if mode is None:
        return None
    return choice_problem(mode, "tenancyConfig.tenantIsolationMode", TENANT_ISOLATION_MODES)


def _network(network: object) -> str | None:
    if network is None:
        return None
    return choice_problem(network, "network", config.NETWORKS)


def _flag(value: object, member: str) -> str | None:
    if isinstance(value, bool):
        return None
    return f"Value '{shown(value)}' at '{member}' must be bool, not {type(value).__name__}"


# --- one value: what is wrong with it, as a message says it, or None --------------------------------------------------


def text_problem(value: object, member: str, pattern: str | None, most: int, *, least: int = 0) -> str | None:
    """`least` and `most` characters, all of them as `pattern` has it."""
    if not isinstance(value, str):
        return type_problem(value, member, str)
    if len(value) < least:
        return violation(value, member, f"Member must have length greater than or equal to {least}")
    if pattern is not None and not re.fullmatch(pattern, value, re.ASCII):
        return violation(value, member, _must_match(pattern))
    if len(value) > most:
        return violation(value, member, _at_most(most))
    return None if _is_unicode(value) else f"Value at '{member}' is not Unicode text: {value!a}"


def number_problem(value: object, member: str, least: int, most: int | None) -> str | None:
    """A whole number from `least` to `most`."""
    if not isinstance(value, int) or isinstance(value, bool):
        return type_problem(value, member, int)
    if value < least:
        return violation(value, member, f"Member must have value greater than or equal to {least}")
    if most is not None and value > most:
        return violation(value, member, f"Member must have value less than or equal to {most}")
    return None


def choice_problem(value: object, member: str, words: tuple[str, ...]) -> str | None:
    """One of `words`."""
    if value in words:
        return None
    return violation(value, member, f"Member must satisfy enum value set: [{', '.join(words)}]")


def type_problem(value: object, member: str, wanted: type) -> str | None:
    """Of this type; a bool is of none."""
    if isinstance(value, wanted) and not isinstance(value, bool):  # settings that are bools have `_flag`
        return None
    return f"Value '{shown(value)}' at '{member}' must be {wanted.__name__}, not {type(value).__name__}"


def violation(value: object, member: str, constraint: str) -> str:
    """The value does not hold to what the service model says of its member."""
    return f"Value '{shown(value)}' at '{member}' failed to satisfy constraint: {constraint}"


def _must_match(pattern: str) -> str:
    return f"Member must satisfy regular expression pattern: {pattern}"


def _at_most(length: int) -> str:
    return f"Member must have length less than or equal to {length}"


def shown(value: object) -> str:
    """The value as a message repeats it: bounded, and printable whatever it is."""
    try:
        text = str(value)
    except ValueError:  # an int past the interpreter's digit limit
        text = f"<{type(value).__name__} with too many digits>"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def refuse(*problems: str | None) -> None:
    """Raise one `ValidationException` that names all that is wrong, where anything is."""
    found = [problem for problem in problems if problem is not None]
    if found:
        raise _validation_error(found)


def _validation_error(problems: list[str]) -> LambdaError:
    detected = "1 validation error" if len(problems) == 1 else f"{len(problems)} validation errors"
    return ValidationException(f"{detected} detected: {'; '.join(problems)}")
