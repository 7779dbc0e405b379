"""F0: the one tree of exceptions. Names, status codes and reasons are AWS Lambda's wherever Lambda has one.

A function's own failure is never an exception here: it is an `InvokeResult` with `function_error` set.
"""

from __future__ import annotations

from typing import ClassVar


class EngineError(Exception):
    """Base of everything this package raises on purpose."""


class EngineClosedError(EngineError):
    """The engine was used before it was opened or after it was closed."""


class ForeignProcessError(EngineError):
    """The engine was used in a process that forked from the one that opened it."""


class SandboxUnavailableError(EngineError):
    """`sandbox="strict"` was asked for and this host cannot enforce all of it."""


class DataFolderError(EngineError):
    """What lies in `data_dir` cannot be used."""


class DataFolderInUseError(DataFolderError):
    """Another engine, in this process or another, has `data_dir` open."""


class BuildError(EngineError):
    """The dependencies of a code folder could not be installed."""


class WorkerStartError(EngineError):
    """The interpreter that environments are forked from could not be started."""


class ConnectionLostError(EngineError):
    """The engine at the other end of a socket cannot be reached, or was lost while a call was under way.

    A call under way may have been carried out: it is never sent again without the caller's knowledge.
    """


class ProtocolError(EngineError):
    """What came over a socket is no message of the protocol, or breaks one of its bounds."""


class AccessDeniedException(EngineError):
    """A connection did not show the token that this server asks for."""


class WaitTimeoutError(EngineError, TimeoutError):
    """A client's `timeout_s` passed. Only the wait ended: the call goes on at the other end."""


class RemoteError(EngineError):
    """An error that the other end named and this version does not know; `type` is that name."""

    def __init__(self, message: str, *, type: str, reason: str | None = None) -> None:
        super().__init__(f"{type}: {message}" if type else message)
        self.message = message
        self.type = type
        self.reason = reason


class LambdaError(EngineError):
    """Base of the refusals that Lambda's API documents.

    `message` says what was wrong, with the value; `reason` is Lambda's machine-readable Reason where it has one;
    `status_code` is the HTTP status that Lambda answers with.
    """

    status_code: ClassVar[int] = 500
    fault: ClassVar[str] = "User"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason

    @property
    def type(self) -> str:
        """The error's name on the wire, such as `ResourceNotFoundException`."""
        return type(self).__name__


class InvalidParameterValueException(LambdaError):
    status_code = 400


class ValidationException(LambdaError):
    """A value outside the pattern or range that the service model states."""

    status_code = 400


class InvalidRequestContentException(LambdaError):
    status_code = 400


class CodeStorageExceededException(LambdaError):
    status_code = 400


class PolicyLengthExceededException(LambdaError):
    """A resource policy is longer than 20 KB."""

    status_code = 400


class RecursiveInvocationException(LambdaError):
    """A function was called by itself, directly or over others, more often than is taken for an intention."""

    status_code = 400


class ResourceNotFoundException(LambdaError):
    status_code = 404


class ResourceConflictException(LambdaError):
    status_code = 409


class ProvisionedConcurrencyConfigNotFoundException(LambdaError):
    status_code = 404


class CodeSigningConfigNotFoundException(LambdaError):
    status_code = 404


class PreconditionFailedException(LambdaError):
    status_code = 412


class RequestTooLargeException(LambdaError):
    status_code = 413


class TooManyRequestsException(LambdaError):
    status_code = 429


class ServiceException(LambdaError):
    status_code = 500
    fault = "Service"


class InvalidZipFileException(LambdaError):
    status_code = 502


class InvalidRuntimeException(LambdaError):
    status_code = 502
