"""F1: Lambda's rules for provisioned concurrency: on what, how much, and what else follows. Keeping it is `catalog`'s.

Messages are Lambda's own where it is known to have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..config import ENVIRONMENTS_MAX, UNRESERVED_CONCURRENCY_MIN
from ..errors import (
    InvalidParameterValueException,
    ProvisionedConcurrencyConfigNotFoundException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from ..model import ProvisionedRequest
from .snapshot import LATEST, FunctionRecord, Snapshot

UNPUBLISHED: Final = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
ALIAS_OF_PROVISIONED: Final = (
    "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
)


def request_of(snapshot: Snapshot, name: str, qualifier: str) -> ProvisionedRequest:
    """What was asked for there. Raises `ProvisionedConcurrencyConfigNotFoundException`, and as `check_qualifier`."""
    check_qualifier(snapshot, name, qualifier)
    request = snapshot.record(name).provisioned.get(qualifier)
    if request is None:
        raise ProvisionedConcurrencyConfigNotFoundException("No Provisioned Concurrency Config found for this function")
    return request


def check_qualifier(snapshot: Snapshot, name: str, qualifier: str) -> None:
    """Raises `ResourceNotFoundException` for what is not there, `InvalidParameterValueException` for `$LATEST`."""
    record = snapshot.record(name, qualifier)
    if qualifier == LATEST:
        raise InvalidParameterValueException("The function resource provided must be an alias or a published version.")
    if qualifier not in record.aliases and qualifier not in record.versions:
        if qualifier.isdecimal():
            raise snapshot.not_found(name, qualifier)
        raise ResourceNotFoundException(f"Cannot find alias arn: {snapshot.arn(name, qualifier)}")


def check_request(snapshot: Snapshot, name: str, qualifier: str, requested: int, account_concurrency: int) -> None:
    """Raises `InvalidParameterValueException`, `ResourceConflictException`, and as `check_qualifier`."""
    if qualifier == LATEST:
        raise InvalidParameterValueException(UNPUBLISHED)
    check_qualifier(snapshot, name, qualifier)
    record = snapshot.record(name)
    check_versions(record, qualifier, record.versions_of(qualifier))
    if requested > ENVIRONMENTS_MAX:
        raise InvalidParameterValueException(
            f"provisioned={requested}: a version has at most {ENVIRONMENTS_MAX:,} environments here"
        )
    others = sum(each.requested for other, each in record.provisioned.items() if other != qualifier)
    if record.reserved_concurrency is not None:
        if others + requested > record.reserved_concurrency:
            raise InvalidParameterValueException(
                "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for "
                "function"
            )
        return
    left = account_concurrency - reserved(snapshot)
    if requested > left:
        raise InvalidParameterValueException(
            f"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{left}]."
        )
    if left - provisioned_of_unreserved(snapshot, but=name) - others - requested < UNRESERVED_CONCURRENCY_MIN:
        raise InvalidParameterValueException(
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
            f"minimum value of [{UNRESERVED_CONCURRENCY_MIN}]."
        )


def check_versions(record: FunctionRecord, qualifier: str, versions: tuple[str, ...]) -> None:
    """Whether provisioned concurrency under this qualifier may go to these versions."""
    for version in versions:
        _check_version(record, qualifier, version)


def _check_version(record: FunctionRecord, qualifier: str, version: str) -> None:
    if version == LATEST:
        raise InvalidParameterValueException(UNPUBLISHED)
    if record.latest.tenant_isolation is not None:
        raise InvalidParameterValueException(
            f"Provisioned concurrency is not supported for functions with tenancy configuration, which "
            f"{record.latest.function_name} has: an environment is one tenant's from its start"
        )
    if record.versions[version].starts_from_snapshot:
        raise InvalidParameterValueException(
            f"SnapStart does not support provisioned concurrency, and version {version} of "
            f"{record.latest.function_name} has SnapStart: publish one without it"
        )
    if any(other != qualifier and version in record.versions_of(other) for other in record.provisioned):
        told = (
            ALIAS_OF_PROVISIONED
            if qualifier in record.aliases
            else "Version is pointed by a Provisioned Concurrency alias"
        )
        raise ResourceConflictException(told)


def check_reservation(snapshot: Snapshot, name: str, reservation: int, account_concurrency: int) -> None:
    """Raises `InvalidParameterValueException` for less than is provisioned, and when too little is left for others."""
    record = snapshot.record(name)
    provisioned = sum(record.provisioned_versions().values())
    if reservation < provisioned:
        raise InvalidParameterValueException(
            f"ReservedConcurrentExecutions  should not be lower than function's total provisioned concurrency "
            f"[{provisioned}]."
        )
    others = reserved(snapshot) - (record.reserved_concurrency or 0) + provisioned_of_unreserved(snapshot, but=name)
    if reservation and account_concurrency - others - reservation < UNRESERVED_CONCURRENCY_MIN:
        raise InvalidParameterValueException(
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{UNRESERVED_CONCURRENCY_MIN}]."
        )


def reserved(snapshot: Snapshot) -> int:
    """What all functions together have reserved."""
    return sum(record.reserved_concurrency or 0 for record in snapshot.functions.values())


def provisioned_of_unreserved(snapshot: Snapshot, *, but: str | None = None) -> int:
    """What functions without a reservation have provisioned, all but one."""
    return sum(
        sum(record.provisioned_versions().values())
        for name, record in snapshot.functions.items()
        if record.reserved_concurrency is None and name != but
    )


def without(provisioned: Mapping[str, ProvisionedRequest], qualifier: str) -> Mapping[str, ProvisionedRequest]:
    """All requests but that of one qualifier."""
    return MappingProxyType({key: request for key, request in provisioned.items() if key != qualifier})
