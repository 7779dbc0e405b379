"""One service with a gateway for all tests of a module: each makes functions of its own names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gateways import Gateway, gateway


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("served")) as here:
        yield here


@pytest.fixture(scope="module")
def aws(served: Gateway) -> Any:
    """boto3's client of Lambda."""
    return served.boto3()
