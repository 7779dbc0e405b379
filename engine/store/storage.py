"""F1: an engine's code and catalog, opened together: for the life of the engine, or in a data folder for longer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ..clock import Clock
from ..errors import DataFolderError, InvalidParameterValueException
from ..model import FunctionConfiguration, StoredCode
from .blobs import CodeStore
from .catalog import Catalog
from .data_folder import DataFolder
from .layers import all_versions
from .persistence import Persistence

CATALOG_NAME: Final = "catalog.db"


class Storage:
    """What lies in one folder: bundles under `code/`, and in a durable one the catalog in `catalog.db`."""

    def __init__(
        self, root: Path, *, durable: bool, clock: Clock, region: str, account_id: str, account_concurrency: int
    ) -> None:
        """Raises `DataFolderError` for a folder that is in use, damaged, or another account's."""
        self.folder: DataFolder | None = None
        with ExitStack() as opening:
            if durable:
                self.folder = DataFolder(root)
                opening.callback(self.folder.close)
            self.root = root.resolve()
            self.code = CodeStore(self.root / "code", durable=durable)
            opening.callback(self.code.close)
            self.catalog = Catalog(
                clock=clock,
                region=region,
                account_id=account_id,
                account_concurrency=account_concurrency,
                retain=self.code.retain,
                release=self.code.release,
                persistence=self._database(opening) if durable else None,
            )
            if durable:
                self._check_account(account_concurrency)
                self.code.restore(self._references())
            self._opened = opening.pop_all()

    def check_code(self, configuration: FunctionConfiguration) -> None:
        """Raises `InvalidZipFileException` for code that was lost while no engine had the folder."""
        for stored in (configuration.code, *configuration.layers):
            self.code.check(stored, configuration.function_name)

    def close(self) -> None:
        """Let everything go. Idempotent."""
        self._opened.close()

    def _database(self, opening: ExitStack) -> Persistence:
        from .catalog_db import CatalogDb  # SQLite takes milliseconds to import, and a temporary engine needs none

        database = CatalogDb(self.root / CATALOG_NAME, code_root=self.code.root)
        opening.callback(database.close)
        return database

    def _configurations(self) -> list[FunctionConfiguration]:
        records = self.catalog.snapshot.functions.values()
        return [configuration for record in records for configuration in record.all_configurations()]

    def _references(self) -> Iterator[StoredCode]:
        """Every bundle, once for each time that the catalog refers to it."""
        yield from (code for found in self._configurations() for code in (found.code, *found.layers))
        yield from (version.code for version in all_versions(self.catalog.snapshot.layers))

    def _check_account(self, account_concurrency: int) -> None:
        here = self.catalog.snapshot
        homes = {(found.region, found.account_id) for found in self._configurations()}
        homes |= {(found.region, found.account_id) for found in all_versions(here.layers)}
        for region, account_id in homes:
            if (region, account_id) != (here.region, here.account_id):
                raise DataFolderError(
                    f"{self.root} holds functions or layers of region {region}, account {account_id}: "
                    "open it with these as region and account_id, or give another data_dir"
                )
        reserved = account_concurrency - self.catalog.unreserved_concurrency()
        if reserved > account_concurrency:
            raise InvalidParameterValueException(
                f"account_concurrency={account_concurrency}: functions in {self.root} reserve {reserved}; "
                "give at least that many"
            )
