"""F5: whether functions that are called by themselves are stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..call import Call
from .names import function_only


async def put_function_recursion_config(call: Call) -> Mapping[str, Any]:
    loop = call.given["RecursiveLoop"]
    return {"RecursiveLoop": await call.client.put_function_recursion_config(function_only(call), loop)}


async def get_function_recursion_config(call: Call) -> Mapping[str, Any]:
    return {"RecursiveLoop": await call.client.get_function_recursion_config(function_only(call))}
