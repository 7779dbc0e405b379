"""The parts of Lambda's context object that come from the caller: client context, Cognito identity, trace context.

The context object itself is compiled and lives elsewhere.
"""

from __future__ import annotations

from .faults import Fault, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TRACE_FIELDS = ("traceparent", "tracestate", "baggage")


class _Record:
    """Fields named by `__slots__`, each None unless it was sent; their order is the order of the repr."""

    __slots__: tuple[str, ...] = ()

    def __repr__(self) -> str:
        fields = ",".join(f"{name}={getattr(self, name)}" for name in self.__slots__)
        return f"{self.__class__.__name__}([{fields}])"

    def _fill(self, sent: Any) -> None:
        for name in self.__slots__:
            setattr(self, name, sent.get(name))


class CognitoIdentity(_Record):
    """Who called, when an Amazon Cognito identity did; otherwise both fields are None."""

    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    cognito_identity_id: Any
    cognito_identity_pool_id: Any


class Client(_Record):
    """The calling application, as the AWS mobile SDKs describe it."""

    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")  # noqa: RUF023

    installation_id: Any
    app_title: Any
    app_version_name: Any
    app_version_code: Any
    app_package_name: Any


class ClientContext(_Record):
    """The caller's ClientContext."""

    __slots__ = ("custom", "env", "client")  # noqa: RUF023

    custom: Any
    env: Any
    client: Client | None


def client_context(document: str | None) -> tuple[ClientContext | None, dict[str, str]]:
    """From the caller's JSON: the object for `context.client_context`, and what `context.w3c()` answers.

    None when the caller sent none, or `null`. The document's `w3c` member is only seen through `context.w3c()`.
    Raises Fault `Runtime.LambdaContextUnmarshalError` for what is not JSON, AttributeError for JSON that is not an
    object, both as Lambda does.
    """
    sent = _parse(document, "Client Context")
    trace = _trace_context(sent)
    if sent is None:
        return None, trace
    context = ClientContext()
    context._fill(sent)
    if context.client is not None:
        application = Client()
        application._fill(context.client)
        context.client = application
    return context, trace


def cognito_identity(document: str | None) -> CognitoIdentity:
    """The object for `context.identity`, from JSON with `cognitoIdentityId` and `cognitoIdentityPoolId`."""
    sent = _parse(document, "Cognito Identity")
    identity = CognitoIdentity()
    identity._fill({} if sent is None else _snake_case(sent))
    return identity


def _snake_case(sent: Any) -> dict[str, Any]:
    return {
        "cognito_identity_id": sent.get("cognitoIdentityId"),
        "cognito_identity_pool_id": sent.get("cognitoIdentityPoolId"),
    }


def _trace_context(sent: Any) -> dict[str, str]:
    trace = sent.pop("w3c", None) if isinstance(sent, dict) else None
    if not isinstance(trace, dict):
        return {}
    return {name: trace[name] for name in _TRACE_FIELDS if isinstance(trace.get(name), str)}


def _parse(document: str | None, name: str) -> Any:
    if not document:
        return None
    import json  # few invocations carry either document

    try:
        return json.loads(document)
    except Exception as error:
        message = f"Unable to parse {name} JSON: {text_of(error)}"
        raise Fault("Runtime.LambdaContextUnmarshalError", message) from error
