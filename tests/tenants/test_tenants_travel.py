"""Tenants over the protocol, from both clients and the command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import uvloop
from apart import APART
from servers import COMMAND

import engine
import engine.sync
from engine import errors

MISSING = "enabled with tenancy configuration. Add a valid tenant ID"


def test_the_blocking_client_names_tenants(address: str, source: Path) -> None:
    with engine.sync.connect(address) as client:
        made = client.create_function("blocking", code=source, **APART)
        assert made.tenant_isolation == client.get_function("blocking").tenant_isolation == "PER_TENANT"
        answers = [client.invoke("blocking", tenant_id=tenant).json() for tenant in ("red", "blue", "red")]
        assert [each["seen"] for each in answers] == [["red"], ["blue"], ["red", "red"]]
        context = {"custom": {"with": "a tenant"}}
        assert client.invoke("blocking", tenant_id="red", client_context=context).json()["tenant"] == "red"
        for kind, status in (("Event", 202), ("DryRun", 204)):
            assert client.invoke("blocking", tenant_id="red", invocation_type=kind).status_code == status
        with pytest.raises(errors.InvalidParameterValueException, match=MISSING):
            client.invoke("blocking")
        wrong: Any = 7
        with pytest.raises(errors.InvalidParameterValueException, match="tenant_id is a string"):
            client.invoke("blocking", tenant_id=wrong)


def test_streams_name_tenants(address: str, source: Path) -> None:
    with engine.sync.connect(address) as client:
        client.create_function("streamed", code=source, **{**APART, "handler": "app.streams"})
        streams = [client.invoke_stream("streamed", tenant_id=tenant) for tenant in ("red", "blue", "red")]
        assert [b"".join(stream) for stream in streams] == [b"red ", b"blue ", b"red red "]
        with pytest.raises(errors.InvalidParameterValueException, match=MISSING):
            client.invoke_stream("streamed")


def test_the_client_on_a_loop_names_tenants(address: str, source: Path) -> None:
    async def calls() -> None:
        async with await engine.connect(address) as client:
            made = await client.create_function("looped", code=source, **APART)
            assert made.tenant_isolation == "PER_TENANT"
            answers = [(await client.invoke("looped", tenant_id=tenant)).json() for tenant in ("red", "blue", "red")]
            assert [each["seen"] for each in answers] == [["red"], ["blue"], ["red", "red"]]

    uvloop.run(calls())


def test_the_command_line_names_tenants(address: str, source: Path) -> None:
    def engine_says(*arguments: str, status: int = 0) -> str:
        ran = subprocess.run(
            [*COMMAND, *arguments, "--socket", address.removeprefix("unix:")], capture_output=True, text=True
        )
        assert ran.returncode == status, ran
        return ran.stdout + ran.stderr

    engine_says("deploy", "said", f"{source}:app.handler", "--tenant-isolation")
    engine_says("deploy", "said", f"{source}:app.handler", "--tenant-isolation", "--memory", "1769")
    answers = [json.loads(engine_says("invoke", "said", "--tenant", tenant)) for tenant in ("red", "blue", "red")]
    assert [each["seen"] for each in answers] == [["red"], ["blue"], ["red", "red"]]
    assert MISSING in engine_says("invoke", "said", status=1)
    engine_says("deploy", "shared", f"{source}:app.handler")
    told = engine_says("deploy", "shared", f"{source}:app.handler", "--tenant-isolation", status=1)
    assert "tenant_isolation of shared cannot be modified" in told
