"""F5: which code signing configuration a function has, as whoever makes or changes functions says it."""

from __future__ import annotations

from typing import Final

from ...client.asynchronous import Client
from ...errors import CodeSigningConfigNotFoundException
from ..documents import change, find

CONFIGURATION: Final = "code-signing-config"
OF_FUNCTION: Final = "function-code-signing"


async def check_code_signing(client: Client, arn: str) -> None:
    """Raises CodeSigningConfigNotFoundException."""
    if await find(client, CONFIGURATION, arn) is None:
        raise CodeSigningConfigNotFoundException(
            "The code signing configuration cannot be found. Check that the provided configuration is not deleted: "
            f"{arn}."
        )


async def attach_code_signing(client: Client, function: str, arn: str) -> None:
    """Raises CodeSigningConfigNotFoundException, ResourceNotFoundException for the function."""
    await check_code_signing(client, arn)
    await change(client, OF_FUNCTION, function, lambda _: {"Arn": arn}, function=function)
