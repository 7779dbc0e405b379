"""What a refused call of boto3's says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError


def refused(operation: Callable[..., Any], **given: Any) -> tuple[str, int, str]:
    """The code, the status and the message with which an operation is refused; it must be."""
    with pytest.raises(ClientError) as caught:
        operation(**given)
    told = caught.value.response
    return told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"], told["Error"]["Message"]
