"""F1: published layers: Lambda's rules for their names, versions and use by functions, and their part of the catalog.

A version's content is a bundle like any other, of which the layer holds one reference. A function that uses a version
holds its own, so that a version can be deleted under it. Numbers are never given out twice, as far as remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final, TypedDict, Unpack

from .. import config
from ..errors import (
    CodeStorageExceededException,
    InvalidParameterValueException,
    ResourceNotFoundException,
    ValidationException,
)
from ..model import FunctionConfiguration, LayerVersion, StoredCode
from ..validation import (
    ARCHITECTURES,
    DESCRIPTION_MAX,
    RUNTIMES_KNOWN,
    choice_problem,
    refuse,
    shown,
    text_problem,
    type_problem,
    violation,
)
from .persistence import LayerEdit
from .snapshot import LayerRecord, Layers, Snapshot
from .writer import CatalogWriter, check_code_storage, lambda_time

LAYER_VERSIONS_MAX: Final = 100_000  # of all layers together
NAMES_REMEMBERED_MAX: Final = 10_000  # of layers without a version left, whose numbers are not given out again
LAYER_NAME_MAX: Final = 140
LICENSE_MAX: Final = 512
RUNTIMES_MAX: Final = 15
_NAME: Final = r"[a-zA-Z0-9-_]+"
_ARN: Final = (
    r"arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+"
)
NAME_PATTERN: Final = f"({_ARN})|{_NAME}"
VERSION_ARN_PATTERN: Final = f"({_ARN}:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)"
VERSION_ARN_MAX: Final = 2_048
NOT_THERE: Final = "The resource you requested does not exist."


class LayerSettings(TypedDict, total=False):
    """What a layer version says of itself."""

    description: str
    compatible_runtimes: Sequence[str]
    compatible_architectures: Sequence[str]
    license_info: str


def is_layer_arn(layer: object) -> bool:
    """Whether a function's layer is given by the ARN of a published version, not as code."""
    return isinstance(layer, str) and layer.startswith("arn:")


class LayerShelf(CatalogWriter):
    """See `catalog.Catalog`, of which this is a part. A layer's name may be its ARN everywhere."""

    def publish_layer_version(
        self,
        name: str,
        code: StoredCode,
        **said: Unpack[LayerSettings],
    ) -> LayerVersion:
        """The next version of a layer. It takes a reference to `code` of its own.

        Raises `ResourceNotFoundException` for another account's layer, `CodeStorageExceededException`, and as
        `validate_layer`.
        """
        validate_layer(name, **said)
        with self._lock:
            snapshot = self._snapshot
            bare = name_in(snapshot, name)
            check_code_storage(snapshot, code.size)
            if sum(len(each.versions) for each in snapshot.layers.values()) >= LAYER_VERSIONS_MAX:
                raise CodeStorageExceededException(
                    f"Code storage limit exceeded: {LAYER_VERSIONS_MAX} layer versions. Delete some"
                )
            record = snapshot.layers.get(bare, LayerRecord())
            made = LayerVersion(
                bare,
                record.next_version,
                code,
                description=said.get("description", ""),
                compatible_runtimes=tuple(said.get("compatible_runtimes", ())),
                compatible_architectures=tuple(said.get("compatible_architectures", ())),
                license_info=said.get("license_info", ""),
                created_date=lambda_time(self._clock.wall_ms()),
                region=snapshot.region,
                account_id=snapshot.account_id,
            )
            versions = MappingProxyType({**record.versions, made.version: made})
            with self._referring_to(code):
                self._put_layer(bare, LayerRecord(versions, made.version + 1))
        return made

    def get_layer_version(self, name: str, version: int) -> LayerVersion:
        """Raises `ResourceNotFoundException`, `InvalidParameterValueException` for a version under 1."""
        _check_version(version)
        snapshot = self._snapshot
        found = snapshot.layers.get(name_in(snapshot, name), LayerRecord()).versions.get(version)
        if found is None:
            raise ResourceNotFoundException(NOT_THERE)
        return found

    def list_layers(
        self, *, compatible_runtime: str | None = None, compatible_architecture: str | None = None
    ) -> tuple[LayerVersion, ...]:
        """The latest version of each layer that runs there, by name."""
        _check_filters(compatible_runtime, compatible_architecture)
        layers = self._snapshot.layers
        found = (_matching(layers[name], compatible_runtime, compatible_architecture) for name in sorted(layers))
        return tuple(versions[0] for versions in found if versions)

    def list_layer_versions(
        self, name: str, *, compatible_runtime: str | None = None, compatible_architecture: str | None = None
    ) -> tuple[LayerVersion, ...]:
        """All versions of a layer that run there, the newest first; none of a layer that is not there, as in Lambda."""
        _check_filters(compatible_runtime, compatible_architecture)
        record = self._snapshot.layers.get(name_in(self._snapshot, name), LayerRecord())
        return tuple(_matching(record, compatible_runtime, compatible_architecture))

    def delete_layer_version(self, name: str, version: int) -> tuple[StoredCode, ...]:
        """The bundles that are no longer referred to, for the caller to release.

        That it is not there is no error, as in Lambda. Raises `InvalidParameterValueException` for a version under 1.
        """
        _check_version(version)
        with self._lock:
            bare = name_in(self._snapshot, name)
            record = self._snapshot.layers.get(bare, LayerRecord())
            gone = record.versions.get(version)
            if gone is None:
                return ()
            left = {number: found for number, found in record.versions.items() if number != version}
            self._put_layer(bare, replace(record, versions=MappingProxyType(left)))
        return (gone.code,)

    def hold_layer(self, arn: str) -> StoredCode:
        """The content of a version for a function, with a reference that the caller releases.

        Raises `InvalidParameterValueException` for one that is not there.
        """
        with self._lock:
            found = version_of(self._snapshot, arn)
            if self._retain is not None:
                self._retain(found.code)
        return found.code

    def _put_layer(self, name: str, record: LayerRecord) -> None:
        """What was changed last stands last: who has no versions for longest is forgotten first."""
        layers = {key: each for key, each in self._snapshot.layers.items() if key != name}
        before = self._snapshot.layers.get(name, LayerRecord())
        layers[name] = record
        forgotten = None
        if not record.versions:
            empty = [key for key, each in layers.items() if not each.versions]
            if len(empty) > NAMES_REMEMBERED_MAX:
                forgotten = empty[0]
                del layers[forgotten]
        edit = LayerEdit(name, before, record, forgotten)
        self._write(edit, replace(self._snapshot, layers=MappingProxyType(layers)))


def validate_layer(name: object, **said: Unpack[LayerSettings]) -> None:
    """Raises `ValidationException` for what the service model forbids a layer version to say."""
    refuse(
        text_problem(name, "layerName", NAME_PATTERN, LAYER_NAME_MAX, least=1),
        text_problem(said.get("description", ""), "description", None, DESCRIPTION_MAX),
        _words(said.get("compatible_runtimes", ()), "compatibleRuntimes", RUNTIMES_KNOWN, RUNTIMES_MAX),
        _words(said.get("compatible_architectures", ()), "compatibleArchitectures", ARCHITECTURES, len(ARCHITECTURES)),
        text_problem(said.get("license_info", ""), "licenseInfo", ".*", LICENSE_MAX),
    )


def check_layer_arns(snapshot: Snapshot, arns: Iterable[str]) -> None:
    """Of one function. Raises `ValidationException` for what is no ARN of a version, and
    `InvalidParameterValueException` for one of another region, and for two of one layer."""
    seen: dict[str, str] = {}
    for arn in arns:
        if text_problem(arn, "layers", VERSION_ARN_PATTERN, VERSION_ARN_MAX) is not None:
            raise _no_version_arn(arn)
        layer, _, _ = arn.rpartition(":")
        if layer in seen:
            raise InvalidParameterValueException(
                "Two different versions of the same layer are not allowed to be referenced in the same function. "
                f"{seen[layer]} and {arn} are versions of the same layer."
            )
        seen[layer] = arn
        version_of(snapshot, arn)


def version_of(snapshot: Snapshot, arn: str) -> LayerVersion:
    """What an ARN of a version leads to. Raises `InvalidParameterValueException`."""
    _, _, _, region, account_id, _, name, *numbers = arn.split(":")
    told = f"Layer version {arn} does not exist."
    if account_id and region != snapshot.region:
        raise InvalidParameterValueException(
            f"Layers are not in the same region as the function. Layers are expected to be in region {snapshot.region}."
        )
    if account_id != snapshot.account_id or not numbers:
        raise InvalidParameterValueException(
            f"{told} Only layers of account {snapshot.account_id} are here: publish it with publish_layer_version"
        )
    found = snapshot.layers.get(name, LayerRecord()).versions.get(_number(numbers[0]))
    if found is None:
        raise InvalidParameterValueException(told)
    return found


def name_in(snapshot: Snapshot, name: str) -> str:
    """The bare name of a layer that is named, or given by its ARN; `ResourceNotFoundException` for another's."""
    refuse(text_problem(name, "layerName", NAME_PATTERN, LAYER_NAME_MAX, least=1))
    if not is_layer_arn(name):
        return name
    _, _, _, region, account_id, _, bare = name.split(":")
    if (region, account_id) != (snapshot.region, snapshot.account_id):
        raise ResourceNotFoundException(NOT_THERE)
    return bare


def check_unzipped(configuration: FunctionConfiguration) -> None:
    """Lambda's limit on what code and layers hold together. Raises `InvalidParameterValueException`."""
    together = sum(each.unzipped_bytes for each in (configuration.code, *configuration.layers))
    if together > config.UNZIPPED_MAX_BYTES:
        raise InvalidParameterValueException(
            f"Function code combined with layers exceeds the maximum allowed size of {config.UNZIPPED_MAX_BYTES} "
            f"bytes. The actual size is {together} bytes."
        )


def all_versions(layers: Layers) -> Iterable[LayerVersion]:
    """Of every layer."""
    return (version for record in layers.values() for version in record.versions.values())


def _matching(record: LayerRecord, runtime: str | None, architecture: str | None) -> list[LayerVersion]:
    """Newest first. What says nothing of itself matches no filter, as in Lambda."""
    return [
        version
        for _, version in sorted(record.versions.items(), reverse=True)
        if (runtime is None or runtime in version.compatible_runtimes)
        and (architecture is None or architecture in version.compatible_architectures)
    ]


def _check_filters(runtime: object, architecture: object) -> None:
    refuse(
        None if runtime is None else choice_problem(runtime, "compatibleRuntime", RUNTIMES_KNOWN),
        None if architecture is None else choice_problem(architecture, "compatibleArchitecture", ARCHITECTURES),
    )


def _check_version(version: object) -> None:
    refuse(type_problem(version, "versionNumber", int))
    if isinstance(version, int) and version < 1:
        raise InvalidParameterValueException("Layer Version Cannot be less than 1.")


def _words(given: object, member: str, known: tuple[str, ...], most: int) -> str | None:
    if isinstance(given, str) or not isinstance(given, Sequence):
        return type_problem(given if isinstance(given, str) else shown(given), member, list)
    told = f"[{', '.join(map(shown, given))}]"
    if len(given) > most:
        return violation(told, member, f"Member must have length less than or equal to {most}")
    if any(each not in known for each in given):
        constraint = f"Member must satisfy constraint: [Member must satisfy enum value set: [{', '.join(known)}]]"
        return violation(told, member, constraint)
    return None


def _no_version_arn(arn: str) -> ValidationException:
    constraint = (
        f"Member must satisfy constraint: [Member must have length less than or equal to {VERSION_ARN_MAX}, Member "
        "must have length greater than or equal to 1, Member must satisfy regular expression pattern: "
        f"{VERSION_ARN_PATTERN}, Member must not be null]"
    )
    return ValidationException(f"1 validation error detected: {violation(f'[{arn}]', 'layers', constraint)}")


def _number(text: str) -> int:
    """Digits; those that are too many are no version's."""
    return int(text) if len(text) < 10 else 0
