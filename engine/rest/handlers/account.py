"""F5: what the account may have and has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..call import Call


async def get_account_settings(call: Call) -> Mapping[str, Any]:
    told = await call.client.account_settings()
    return {
        "AccountLimit": {
            "TotalCodeSize": told.total_code_size_limit_bytes,
            "CodeSizeUnzipped": told.code_size_unzipped_limit_bytes,
            "CodeSizeZipped": told.code_size_zipped_limit_bytes,
            "ConcurrentExecutions": told.concurrent_executions,
            "UnreservedConcurrentExecutions": told.unreserved_concurrent_executions,
        },
        "AccountUsage": {"TotalCodeSize": told.total_code_size_bytes, "FunctionCount": told.function_count},
    }
