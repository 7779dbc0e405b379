"""Account settings and recursion configurations through boto3."""

from __future__ import annotations

from typing import Any

from gateways import Gateway
from refusals import refused

CODE = "def handler(event, context): return 1"


def test_the_account_is_told_of_as_lambda_counts(served: Gateway, aws: Any) -> None:
    before = aws.get_account_settings()
    limit = before["AccountLimit"]
    assert (limit["CodeSizeUnzipped"], limit["CodeSizeZipped"]) == (262_144_000, 52_428_800)
    assert limit["ConcurrentExecutions"] == limit["UnreservedConcurrentExecutions"] == 1_000
    made = served.deploy("counted", CODE)
    aws.put_function_concurrency(FunctionName="counted", ReservedConcurrentExecutions=10)
    after = aws.get_account_settings()
    assert after["AccountLimit"]["UnreservedConcurrentExecutions"] == 990
    assert after["AccountUsage"] == {
        "FunctionCount": before["AccountUsage"]["FunctionCount"] + 1,
        "TotalCodeSize": before["AccountUsage"]["TotalCodeSize"] + made["CodeSize"],
    }
    aws.delete_function(FunctionName="counted")
    assert aws.get_account_settings()["AccountUsage"] == before["AccountUsage"]


def test_a_recursive_loop_is_terminated_unless_it_is_allowed(served: Gateway, aws: Any) -> None:
    served.deploy("looping", CODE)
    get, put = aws.get_function_recursion_config, aws.put_function_recursion_config
    assert get(FunctionName="looping")["RecursiveLoop"] == "Terminate"
    assert put(FunctionName="looping", RecursiveLoop="Allow")["RecursiveLoop"] == "Allow"
    assert get(FunctionName="looping")["RecursiveLoop"] == "Allow"
    assert refused(put, FunctionName="looping", RecursiveLoop="Maybe")[0] == "ValidationException"
    assert refused(put, FunctionName="looping:live", RecursiveLoop="Allow")[0] == "ValidationException"
    aws.delete_function(FunctionName="looping")
    assert refused(get, FunctionName="looping")[:2] == ("ResourceNotFoundException", 404)
    assert refused(put, FunctionName="looping", RecursiveLoop="Allow")[:2] == ("ResourceNotFoundException", 404)
