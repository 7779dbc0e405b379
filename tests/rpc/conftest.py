"""Services for tests of the socket: new ones, and one for all tests of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving import Raw, Service


@pytest.fixture
def new_service(tmp_path: Path) -> Iterator[Callable[[], Service]]:
    """Makes services with data folders of their own; those that still run are ended."""
    made: list[Service] = []

    def make() -> Service:
        folder = tmp_path / f"service-{len(made)}"
        folder.mkdir()
        made.append(Service(folder))
        return made[-1]

    yield make
    for service in made:
        service.end_if_running()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with functions deployed, for all tests of a module."""
    service = Service(tmp_path_factory.mktemp("served")).start()
    client = service.connect()
    for handler in ("echo", "waits", "long", "fails"):
        client.deploy(handler, handler)
    client.close()
    yield service
    assert service.end() == 0


@pytest.fixture
def client(served: Service) -> Iterator[Raw]:
    raw = served.connect()
    yield raw
    raw.close()
