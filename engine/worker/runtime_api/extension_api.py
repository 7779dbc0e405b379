"""The Extensions API, 2020-01-01, and the two ways to subscribe to telemetry: what extensions ask, and what is refused.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
"""

from __future__ import annotations

import json

from . import subscription
from .extension import EVENTS, INVOKE, NOT_ALLOWED, READY, REGISTERED, Extension

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from .request import Request
    from .telemetry import Telemetry

VERSION = b"/2020-01-01/extension/"
EXTENSIONS_MAX: Final = 10
NAME, IDENTIFIER = b"lambda-extension-name", b"lambda-extension-identifier"
FEATURES, ERROR_TYPE = b"lambda-extension-accept-feature", b"lambda-extension-function-error-type"
DIALECTS = {dialect.path: dialect for dialect in (subscription.TELEMETRY, subscription.LOGS)}


def serves(path: bytes) -> bool:
    return path.startswith(VERSION) or path.rstrip(b"/") in DIALECTS


class ExtensionApi:
    """`on_registered()`: one more is. `on_asked(extension)`: it waits for its next event. `on_error(extension, state)`:
    it gives up, in init (InitError) or later (ExitError)."""

    def __init__(
        self,
        extensions: dict[str, Extension],
        telemetry: Telemetry,
        about: Mapping[str, str],
        *,
        on_registered: Callable[[], object],
        on_asked: Callable[[Extension], object],
        on_error: Callable[[Extension], object],
    ) -> None:
        """`about`: what each is told of the function; accountId for those who ask for it."""
        self._extensions, self._telemetry, self._about = extensions, telemetry, about
        self._on_registered, self._on_asked, self._on_error = on_registered, on_asked, on_error
        self.is_closed = False  # nobody may register any more

    def serve(self, request: Request) -> None:
        dialect = DIALECTS.get(request.path.rstrip(b"/"))
        if dialect is not None:
            self._only(request, b"PUT", lambda found: self._subscribe(request, found, dialect))
            return
        rest = request.path[len(VERSION) :]
        if rest == b"register":
            self._register(request)
        elif rest == b"event/next":
            self._only(request, b"GET", lambda found: self._next(request, found))
        elif rest == b"init/error":
            self._only(request, b"POST", lambda found: self._error(request, found, "InitError"))
        elif rest == b"exit/error":
            self._only(request, b"POST", lambda found: self._error(request, found, "ExitError"))
        else:
            request.not_found()

    def _only(self, request: Request, method: bytes, serve: Callable[[Extension], object]) -> None:
        """For a request of that method, of an extension that is registered."""
        if request.method != method:
            request.reply(405, b"", b"Allow: %b\r\n" % method)
            return
        given = request.headers.get(IDENTIFIER, b"").decode("latin-1")
        if not given:
            request.refuse(403, "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header")
        elif not _is_uuid(given):
            request.refuse(403, "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier")
        else:
            known = [each for each in self._extensions.values() if each.identifier == given]
            if known:
                serve(known[0])
            else:
                request.refuse(403, "Extension.UnknownExtensionIdentifier", f"Unknown extension {given}")

    # --- registering --------------------------------------------------------------------------------------------------

    def _register(self, request: Request) -> None:
        if request.method != b"POST":
            request.reply(405, b"", b"Allow: POST\r\n")
            return
        name = request.headers.get(NAME, b"").decode("latin-1")
        if not name:
            request.refuse(403, "Extension.InvalidExtensionName", "Empty extension name")
            return
        events = self._events(request, name in self._extensions and self._extensions[name].is_external)
        if events is None:
            return
        extension = self._extensions.get(name)
        if extension is None:
            extension = self._admit(request, name)
        elif not extension.is_external:
            request.refuse(403, "Extension.InvalidExtensionState", "Extension with this name already registered")
            return
        if extension is None or not self._step(request, extension, REGISTERED, name):
            return
        extension.events = events
        with_account = b"accountid" in request.headers.get(FEATURES, b"").lower().replace(b" ", b"").split(b",")
        told = {key: value for key, value in self._about.items() if with_account or key != "accountId"}
        headers = b"Lambda-Extension-Identifier: %b\r\n" % extension.identifier.encode()
        request.reply(200, json.dumps(told).encode(), headers)
        self._on_registered()

    def _events(self, request: Request, is_external: bool) -> tuple[str, ...] | None:
        """What it registers for; None, and the request refused, where that cannot be."""
        try:
            asked = json.loads(request.body or b"{}")
            events = asked.get("events") or []
        except (ValueError, AttributeError) as error:
            request.refuse(403, "InvalidRequestFormat", f"{error}")
            return None
        if asked.get("configurationKeys"):
            said = "configurationKeys are deprecated; use environment variables instead"
            request.refuse(403, "InvalidRequestFormat", said)
            return None
        if not isinstance(events, list):
            request.refuse(403, "InvalidRequestFormat", "events should be a list")
            return None
        for event in events:
            if event not in EVENTS:
                request.refuse(403, "Extension.InvalidEventType", f"{event}: ErrorInvalidEventType")
                return None
            if not is_external and event != INVOKE:
                said = f"{event}: ShutdownEventNotSupportedForInternalExtension"
                request.refuse(403, "Extension.InvalidEventType", said)
                return None
        return tuple(event for event in EVENTS if event in events)

    def _admit(self, request: Request, name: str) -> Extension | None:
        """A place for an internal extension."""
        if self.is_closed:
            request.refuse(403, "Extension.RegistrationClosed", "Extension registration closed already")
            return None
        if len(self._extensions) >= EXTENSIONS_MAX:
            request.refuse(403, "Extension.TooManyExtensions", f"Extension limit ({EXTENSIONS_MAX}) reached")
            return None
        extension = self._extensions[name] = Extension(name, is_external=False)
        return extension

    def _step(self, request: Request, extension: Extension, state: str, named: str) -> bool:
        before = extension.state
        if extension.step(state):
            return True
        message = f"State transition from {before} to {state} failed for extension {named}. Error: {NOT_ALLOWED}"
        request.refuse(403, "Extension.InvalidExtensionState", message)
        return False

    # --- what registered ones ask -------------------------------------------------------------------------------------

    def _next(self, request: Request, extension: Extension) -> None:
        is_back = extension.state == READY and not extension.waits  # its connection broke while it waited
        if is_back or self._step(request, extension, READY, extension.identifier):
            extension.parked = request
            self._on_asked(extension)

    def _error(self, request: Request, extension: Extension, state: str) -> None:
        error_type = request.headers.get(ERROR_TYPE, b"").decode("latin-1")
        if not error_type:
            said = "Lambda-Extension-Function-Error-Type not found"
            request.refuse(403, "Extension.MissingHeader", said)
            return
        if self._step(request, extension, state, extension.identifier):
            extension.error_type = error_type
            request.accept()
            self._on_error(extension)

    def _subscribe(self, request: Request, extension: Extension, dialect: subscription.Dialect) -> None:
        prefix = dialect.error_prefix
        if self._telemetry.is_closed:
            closed = "Logs.SubscriptionClosed" if prefix else "Telemetry.SubscriptionClosed"
            request.refuse(403, closed, dialect.closed)
            return
        try:
            asked = subscription.read(request.body, dialect)
        except subscription.SubscriptionError as error:
            request.refuse(400, f"{prefix}ValidationError", str(error))
            return
        if not self._telemetry.may_subscribe(extension.name, asked):
            said = "an extension subscribes to the Telemetry API or to the Logs API, not to both"
            request.refuse(400, f"{prefix}ValidationError", said)
            return
        self._telemetry.subscribe(extension.name, asked)
        request.reply(200, b'"OK"')


def _is_uuid(text: str) -> bool:
    parts = text.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and all(_is_hex(part) for part in parts)


def _is_hex(text: str) -> bool:
    return all(letter in "0123456789abcdefABCDEF" for letter in text)
