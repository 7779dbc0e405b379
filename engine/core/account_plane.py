"""F3: the methods of `Engine` for what holds for the account, and for recursion. What they ask: the catalog."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from ..model import AccountSettings, RecursiveLoop
from .control import Control


class AccountPlane(ABC):
    """What of an engine is about the account. `_opened` raises where it is not open."""

    @abstractmethod
    def _opened(self) -> Control: ...

    async def account_settings(self) -> AccountSettings:
        """What the account may have and has: see `AccountSettings`."""
        return self._opened().catalog.account_settings()

    async def put_function_recursion_config(self, name: str, recursive_loop: RecursiveLoop) -> RecursiveLoop:
        """Whether a function is stopped that was called 16 times in one chain, by itself or over others.

        "Terminate", the default: it is. "Allow": it runs. Raises ResourceNotFoundException, ValidationException.
        """
        return await asyncio.to_thread(self._opened().catalog.put_recursion_config, name, recursive_loop)

    async def get_function_recursion_config(self, name: str) -> RecursiveLoop:
        """What was put, else "Terminate". Raises ResourceNotFoundException."""
        return self._opened().catalog.get_recursion_config(name)
