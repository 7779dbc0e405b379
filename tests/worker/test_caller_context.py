"""Client context, identity and trace context come out as AWS's Python runtime client makes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from awslambdaric.bootstrap import create_lambda_context
from awslambdaric.lambda_runtime_exception import FaultException
from hypothesis import given
from hypothesis import strategies as st

from engine.runtimes.bootstraps.python.context import ClientContext, client_context, cognito_identity
from engine.runtimes.bootstraps.python.faults import Fault

CLIENT = {
    "installation_id": "i",
    "app_title": "t",
    "app_version_name": "n",
    "app_version_code": "c",
    "app_package_name": "p",
}
DOCUMENTS = [
    None,
    "",
    "null",
    "{}",
    json.dumps({"custom": {"a": 1}, "env": {"b": "2"}, "client": CLIENT}),
    json.dumps({"client": None, "custom": [1], "other": 1}),
    json.dumps({"client": {}, "env": None}),
    json.dumps({"w3c": {"traceparent": "00-1", "tracestate": 3, "baggage": "x", "more": "y"}}),
    json.dumps({"w3c": "text", "custom": "c"}),
]


def seen(client: Any, identity: Any, trace: Any) -> str:
    return f"{client!r} {identity!r} {trace!r}"


def oracle(client: str | None, identity: str | None) -> str:
    context = create_lambda_context(client, identity, 0, "id", "arn", None)
    return seen(context.client_context, context.identity, context.w3c())


def own(client: str | None, identity: str | None) -> str:
    made, trace = client_context(client)
    return seen(made, cognito_identity(identity), trace)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_client_context_is_made_as_by_awss_client(document: str | None) -> None:
    assert own(document, None) == oracle(document, None)


@pytest.mark.parametrize(
    "document",
    [None, "null", "{}", '{"cognitoIdentityId": "a"}', '{"cognitoIdentityPoolId": 1, "cognitoIdentityId": null}'],
)
def test_an_identity_is_made_as_by_awss_client(document: str | None) -> None:
    assert own(None, document) == oracle(None, document)


WORDS = st.sampled_from(["", "a", "\u00e4"])
FIELDS = st.none() | WORDS | st.integers() | st.dictionaries(st.sampled_from(["traceparent", "baggage", "b"]), WORDS)


@given(sent=st.dictionaries(st.sampled_from(["custom", "env", "w3c", "more"]), FIELDS))
def test_any_client_context_is_made_as_by_awss_client(sent: dict[str, object]) -> None:
    document = json.dumps(sent)
    assert own(document, None) == oracle(document, None)


@pytest.mark.parametrize("document", ["{", "[1", "nul", " "])
@pytest.mark.parametrize("place", ["client", "identity"])
def test_a_document_that_is_not_json_is_the_fault_of_awss_client(document: str, place: str) -> None:
    both = (document, None) if place == "client" else (None, document)
    with pytest.raises(FaultException) as expected:
        oracle(*both)
    with pytest.raises(Fault) as caught:
        own(*both)
    assert (caught.value.error_type, caught.value.message) == (expected.value.exception_type, expected.value.msg)


@pytest.mark.parametrize("document", ["[1]", "7", '"text"', '{"client": 3}'])
def test_json_of_another_shape_is_an_attribute_error_as_in_awss_client(document: str) -> None:
    with pytest.raises(AttributeError) as expected:
        oracle(document, None)
    with pytest.raises(AttributeError) as caught:
        own(document, None)
    assert str(caught.value) == str(expected.value)


def test_the_clients_fields_can_be_read_and_no_others_added() -> None:
    made, _ = client_context(DOCUMENTS[4])
    assert isinstance(made, ClientContext)
    assert made.custom == {"a": 1}
    assert made.env == {"b": "2"}
    assert made.client is not None
    assert made.client.app_title == "t"
    with pytest.raises(AttributeError):
        made.more = 1  # type: ignore[attr-defined]
