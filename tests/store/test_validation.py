"""Names, settings and references are judged in Lambda's words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidParameterValueException, ValidationException
from engine.validation import (
    ALIAS_PATTERN,
    ENVIRONMENT_NAME_PATTERN,
    FUNCTION_REFERENCE_PATTERN,
    HANDLER_PATTERN,
    QUALIFIER_PATTERN,
    RESERVED_ENVIRONMENT,
    ROLE_PATTERN,
    RUNTIMES_KNOWN,
    merge_qualifier,
    parse_function_reference,
    split_function_reference,
    validate_alias_name,
    validate_configuration,
    validate_function_name,
    validate_reserved_concurrency,
)

GOOD: dict[str, Any] = {
    "function_name": "hello",
    "handler": "app.handler",
    "runtime": "python3.11",
    "memory_mb": 128,
    "timeout_s": 3,
    "ephemeral_storage_mb": 512,
    "environment": {"KEY": "value"},
    "layers_count": 0,
    "description": "",
    "role": "arn:aws:iam::000000000000:role/execution_role",
    "architecture": "x86_64",
}

NAMES = st.text("abcXYZ019-_", min_size=1, max_size=64)
QUALIFIERS = st.one_of(st.none(), st.just("$LATEST"), st.text("abcXYZ019-_", min_size=1, max_size=30))


def test_a_good_configuration_passes() -> None:
    validate_configuration(**GOOD)


@pytest.mark.parametrize("limits", [{"memory_mb": 10_240, "timeout_s": 900, "ephemeral_storage_mb": 10_240}])
def test_the_largest_values_pass(limits: dict[str, Any]) -> None:
    validate_configuration(**GOOD | limits)


@pytest.mark.parametrize(
    "target", [None, "", "arn:aws:sqs:us-east-1:000000000000:queue", "arn:aws:sns:us-east-1:000000000000:topic"]
)
def test_dead_letters_go_to_a_queue_or_a_topic(target: str | None) -> None:
    validate_configuration(**GOOD | {"dead_letter_target_arn": target})


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("arn:aws:s3:::bucket", "ARN: arn:aws:s3:::bucket is neither an SQS queue nor an SNS topic. DeadLetter takes"),
        ("arn:aws:sqs:us-east-1:000000000000:q.fifo", "FIFO SQS queue is not supported for dead letter configuration"),
        ("arn:aws:sns:us-east-1:000000000000:t.fifo", "FIFO SNS topic is not supported for dead letter configuration"),
        ("arn:aws:sqs:::queue", "The destination ARN arn:aws:sqs:::queue is invalid"),
    ],
)
def test_dead_letters_go_nowhere_else(target: str, told: str) -> None:
    with pytest.raises(InvalidParameterValueException, match=told):
        validate_configuration(**GOOD | {"dead_letter_target_arn": target})


@pytest.mark.parametrize("network", [None, "host", "loopback", "none"])
@pytest.mark.parametrize("snap_start", [False, True])
def test_every_network_passes_with_and_without_snapshots(network: str | None, snap_start: bool) -> None:
    validate_configuration(**GOOD | {"network": network, "snap_start": snap_start})


def test_snapshots_are_refused_with_more_than_the_least_ephemeral_storage() -> None:
    with pytest.raises(InvalidParameterValueException, match=r"SnapStart does not support .* has 513 MB"):
        validate_configuration(**GOOD | {"snap_start": True, "ephemeral_storage_mb": 513})


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        (
            "function_name",
            "a b",
            r"Value 'a b' at 'functionName' failed to satisfy constraint: Member must satisfy ",
        ),
        ("function_name", "a" * 65, r"length less than or equal to 64"),
        ("function_name", "name\n", r"functionName"),
        ("function_name", "", r"functionName"),
        ("function_name", None, r"Value 'None' at 'functionName' must be str, not NoneType"),
        ("handler", "has space", r"Value 'has space' at 'handler'.*\[\^\\s\]\+"),
        ("handler", "h" * 129, r"length less than or equal to 128"),
        ("runtime", 3, r"Value '3' at 'runtime' must be str, not int"),
        ("memory_mb", 64, r"Value '64' at 'memorySize' .* Member must have value greater than or equal to 128"),
        ("memory_mb", 10_241, r"Member must have value less than or equal to 10240"),
        ("memory_mb", 128.0, r"Value '128.0' at 'memorySize' must be int, not float"),
        ("memory_mb", True, r"must be int, not bool"),
        ("timeout_s", 0, r"'timeout' .* greater than or equal to 1"),
        ("timeout_s", 901, r"less than or equal to 900"),
        pytest.param("timeout_s", 10**5000, r"too many digits", id="timeout_s-huge"),
        ("ephemeral_storage_mb", 511, r"'ephemeralStorage.size'"),
        ("network", "lan", r"Value 'lan' at 'network' failed .* enum value set: \[host, loopback, none\]"),
        ("network", ["host"], r"'network' failed to satisfy"),
        ("snap_start", "yes", r"Value 'yes' at 'snapStart' must be bool, not str"),
        ("snap_start", 1, r"'snapStart' must be bool, not int"),
        ("dead_letter_target_arn", "queue", r"Value 'queue' at 'deadLetterConfig.targetArn' .*arn:"),
        ("dead_letter_target_arn", 1, r"'deadLetterConfig.targetArn' must be str, not int"),
        ("description", "d" * 257, r"'description' .* 256"),
        ("description", "\ud800", r"'description' is not Unicode"),
        ("role", "admin", r"Value 'admin' at 'role' .*arn:"),
        ("architecture", "riscv", r"Value '\[riscv\]' at 'architectures' .*\[x86_64, arm64\]"),
        ("environment", {"1X": "v"}, r"Value '1X' at 'environment.variables' .*Map keys"),
        ("environment", {"X_": 1}, r"the value of X_ must be str"),
        ("environment", {1: "v"}, r"a key must be str"),
        ("environment", {"KEY": "a\0b"}, r"Value of KEY"),
        ("environment", ["KEY"], r"must be dict, not list"),
    ],
)
def test_a_value_outside_the_model_is_refused_by_name(member: str, value: object, message: str) -> None:
    with pytest.raises(ValidationException, match=r"^1 validation error detected: ") as caught:
        validate_configuration(**GOOD | {member: value})
    assert re.search(message, caught.value.message)


def test_every_violation_is_named_in_one_answer() -> None:
    with pytest.raises(ValidationException, match=r"^2 validation errors detected: .*'memorySize'.*; .*'timeout'"):
        validate_configuration(**GOOD | {"memory_mb": 1, "timeout_s": 0})


def test_a_runtime_lambda_knows_is_refused_with_those_that_are_run() -> None:
    for runtime in ("nodejs10.x", "go1.x", "ruby2.5", "python3.7"):
        with pytest.raises(InvalidParameterValueException, match=rf"{runtime} is not run .*python3\.14"):
            validate_configuration(**GOOD | {"runtime": runtime})


def test_an_unknown_runtime_is_refused_in_lambdas_words() -> None:
    with pytest.raises(InvalidParameterValueException, match=r"^Value perl5 at 'runtime' .*\] or be a valid ARN$"):
        validate_configuration(**GOOD | {"runtime": "perl5"})


def test_a_sixth_layer_is_refused() -> None:
    validate_configuration(**GOOD | {"layers_count": 5})
    with pytest.raises(InvalidParameterValueException, match="Cannot reference more than 5 layers"):
        validate_configuration(**GOOD | {"layers_count": 6})


def test_reserved_environment_names_are_listed() -> None:
    with pytest.raises(InvalidParameterValueException, match=r"used in this request: AWS_REGION, _HANDLER$"):
        validate_configuration(**GOOD | {"environment": {"AWS_REGION": "x", "KEY": "v", "_HANDLER": "y"}})
    assert "LAMBDA_TASK_ROOT" in RESERVED_ENVIRONMENT


def test_environment_variables_hold_four_kilobytes_and_not_one_byte_more() -> None:
    fits = {"KEY": "v" * (4096 - len('{"KEY":""}'))}
    validate_configuration(**GOOD | {"environment": fits})
    with pytest.raises(InvalidParameterValueException, match=r'4KB limit. String measured: \{"KEY":"v+"\}$'):
        validate_configuration(**GOOD | {"environment": {"KEY": fits["KEY"] + "v"}})


def test_an_alias_is_not_a_number() -> None:
    validate_alias_name("v1")
    for name in ("1", "a b", "", 5):
        with pytest.raises(ValidationException, match="at 'name'"):
            validate_alias_name(name)


def test_reserved_concurrency_is_a_whole_number() -> None:
    validate_reserved_concurrency(0)
    for value in (-1, 1.5, "1"):
        with pytest.raises(ValidationException, match="reservedConcurrentExecutions"):
            validate_reserved_concurrency(value)


@given(NAMES, QUALIFIERS)
def test_every_form_of_a_reference_gives_back_name_and_qualifier(name: str, qualifier: str | None) -> None:
    validate_function_name(name)
    tail = f":{qualifier}" if qualifier else ""
    full = f"arn:aws:lambda:us-east-1:123456789012:function:{name}{tail}"
    assert parse_function_reference(full) == (name, qualifier)
    assert parse_function_reference(f"123456789012:function:{name}{tail}") == (name, qualifier)
    assert split_function_reference(full)[2:] == ("us-east-1", "123456789012")
    if not re.fullmatch(r"\d{12}|function", name):  # these two read as a prefix, as the model's pattern does
        assert parse_function_reference(f"{name}{tail}") == (name, qualifier)


@given(st.text(max_size=300))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        name, qualifier = parse_function_reference(text)
    except ValidationException as error:
        assert "functionName" in error.message
    else:
        validate_function_name(name)
        assert text.endswith(name if qualifier is None else f"{name}:{qualifier}")


@pytest.mark.parametrize("text", ["", "a:b:c", "arn:aws:s3:::bucket", "a/b", "a:", "é", "x" * 257, None, "a:$PREV"])
def test_what_is_no_reference_is_refused(text: object) -> None:
    with pytest.raises(ValidationException):
        parse_function_reference(text)


def test_two_qualifiers_must_agree() -> None:
    assert merge_qualifier(None, None) is None
    assert merge_qualifier("1", "") == "1"
    assert merge_qualifier("1", "1") == "1"
    assert merge_qualifier(None, "prod") == "prod"
    with pytest.raises(InvalidParameterValueException, match="derived qualifier from the function name"):
        merge_qualifier("1", "2")
    with pytest.raises(ValidationException, match="'qualifier'"):
        merge_qualifier(None, "a b")


def test_patterns_and_runtimes_are_those_of_the_service_model() -> None:
    import botocore.session  # type: ignore[import-untyped]

    model = botocore.session.get_session().get_service_model("lambda", "2015-03-31")

    def fact(shape: str) -> Any:
        return model.shape_for(shape).metadata

    assert fact("FunctionName")["pattern"] == FUNCTION_REFERENCE_PATTERN
    assert fact("Qualifier")["pattern"] == QUALIFIER_PATTERN
    assert fact("Alias")["pattern"] == ALIAS_PATTERN
    assert fact("Handler")["pattern"] == HANDLER_PATTERN
    assert fact("RoleArn")["pattern"] == ROLE_PATTERN
    assert fact("EnvironmentVariableName")["pattern"] == ENVIRONMENT_NAME_PATTERN
    assert set(RUNTIMES_KNOWN) & set(model.shape_for("Runtime").enum) == set(RUNTIMES_KNOWN)


def test_a_variable_may_have_a_name_of_one_letter() -> None:
    validate_configuration(**{**GOOD, "environment": {"K": "V"}})
