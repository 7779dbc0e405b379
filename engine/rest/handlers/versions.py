"""F5: published versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..call import Call
from .describe import described
from .names import function_only
from .pages import page
from .shapes import listed


async def publish_version(call: Call) -> Mapping[str, Any]:
    given = call.given
    made = await call.client.publish_version(
        function_only(call),
        description=given.get("Description"),
        code_sha256=given.get("CodeSha256") or None,
        revision_id=given.get("RevisionId"),
    )
    return await described(call, made, qualified=True)


async def list_versions_by_function(call: Call) -> Mapping[str, Any]:
    versions = await call.client.list_versions(function_only(call))
    taken, marker = page(versions, call.given, lambda version: version.version)
    return {"Versions": [listed(each, qualified=True) for each in taken], "NextMarker": marker}
