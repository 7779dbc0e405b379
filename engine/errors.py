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


class ResourceNotFoundException(LambdaError):
    status_code = 404


class ResourceConflictException(LambdaError):
    status_code = 409


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
