"""A storage and an endless, repeatable row of changes to it; as a program, makes them and prints each when it is done.

mutations.py ROOT FIRST            changes from number FIRST on, until killed
mutations.py ROOT FIRST FILE_MAX   until the disk takes no file over FILE_MAX bytes, then what is visible, then one
                                   change more without that limit
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import resource
import sys
import zipfile
from itertools import count
from pathlib import Path

from engine.clock import HostClock
from engine.errors import LambdaError, ServiceException
from engine.model import StoredCode
from engine.store.catalog import Change
from engine.store.rows import alias_text, configuration_text, layer_text
from engine.store.snapshot import Snapshot
from engine.store.storage import Storage

NAMES = ("f", "g", "h")


def opened(root: Path, *, durable: bool = True) -> Storage:
    return Storage(
        root,
        durable=durable,
        clock=HostClock(),
        region="us-east-1",
        account_id="000000000000",
        account_concurrency=1000,
    )


def change(storage: Storage, number: int) -> str:
    """Make change `number`; what it was. Refusals by Lambda's rules count: what leads to them repeats too."""
    drawn = random.Random(number)
    name = drawn.choice(NAMES)
    kind = drawn.choice(list(KINDS))
    try:
        KINDS[kind](storage, name, drawn)
    except ServiceException:
        raise
    except LambdaError as refusal:
        return f"{kind} {name}: {refusal.type}"
    return f"{kind} {name}"


def put(storage: Storage, drawn: random.Random) -> StoredCode:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), f"number = {drawn.randrange(4)}\n")
        archive.writestr(zipfile.ZipInfo("noise"), random.Random(1).randbytes(2_000))
    return storage.code.put_zip(out.getvalue())


def let_go(storage: Storage, made: Change) -> None:
    for stored in made.dropped:
        storage.code.release(stored)


def create(storage: Storage, name: str, drawn: random.Random) -> None:
    stored = put(storage, drawn)
    try:
        storage.catalog.create_function(name, stored, handler="app.handler", runtime="python3.11")
    finally:
        storage.code.release(stored)


def update_code(storage: Storage, name: str, drawn: random.Random) -> None:
    stored = put(storage, drawn)
    try:
        let_go(storage, storage.catalog.update_code(name, stored))
    finally:
        storage.code.release(stored)


def configure(storage: Storage, name: str, drawn: random.Random) -> None:
    let_go(storage, storage.catalog.update_configuration(name, environment={"N": str(drawn.random()) * 50}))


def publish(storage: Storage, name: str, drawn: random.Random) -> None:
    storage.catalog.publish_version(name)


def delete(storage: Storage, name: str, drawn: random.Random) -> None:
    let_go(storage, storage.catalog.delete_function(name, drawn.choice([None, "1", "2", "3"])))


def make_alias(storage: Storage, name: str, drawn: random.Random) -> None:
    storage.catalog.create_alias(name, drawn.choice("ab"), drawn.choice(["$LATEST", "1", "2", "3"]))


def move_alias(storage: Storage, name: str, drawn: random.Random) -> None:
    storage.catalog.update_alias(name, drawn.choice("ab"), description=str(drawn.random()))


def delete_alias(storage: Storage, name: str, drawn: random.Random) -> None:
    storage.catalog.delete_alias(name, drawn.choice("ab"))


def reserve(storage: Storage, name: str, drawn: random.Random) -> None:
    storage.catalog.put_function_concurrency(name, drawn.randrange(900))


def give_back(storage: Storage, name: str, drawn: random.Random) -> None:
    storage.catalog.delete_function_concurrency(name)


def keep(storage: Storage, name: str, drawn: random.Random) -> None:
    owner = drawn.choice([None, name])
    storage.catalog.put_resource("policy", drawn.choice("ab"), {"said": drawn.random()}, function=owner)


def drop(storage: Storage, name: str, drawn: random.Random) -> None:
    storage.catalog.delete_resource("policy", drawn.choice("ab"))


def publish_layer(storage: Storage, name: str, drawn: random.Random) -> None:
    stored = put(storage, drawn)
    try:
        storage.catalog.publish_layer_version(name, stored, description=str(drawn.random()))
    finally:
        storage.code.release(stored)


def delete_layer(storage: Storage, name: str, drawn: random.Random) -> None:
    for stored in storage.catalog.delete_layer_version(name, drawn.randrange(1, 9)):
        storage.code.release(stored)


def use_layer(storage: Storage, name: str, drawn: random.Random) -> None:
    layer, number = drawn.choice(NAMES), drawn.randrange(1, 9)
    arn = f"arn:aws:lambda:us-east-1:000000000000:layer:{layer}:{number}"
    stored = storage.catalog.hold_layer(arn)
    try:
        let_go(storage, storage.catalog.update_configuration(name, layers=(stored,), layer_arns=(arn,)))
    finally:
        storage.code.release(stored)


KINDS = {
    made.__name__: made
    for made in (
        *(create, update_code, configure, publish, delete, make_alias, move_alias, delete_alias, reserve, give_back),
        *(keep, drop, publish_layer, delete_layer, use_layer),
    )
} | {"create again": create, "update again": update_code, "publish again": publish}


def exact(snapshot: Snapshot) -> str:
    """A digest of everything there is, revisions and times too."""
    lines: list[str] = []
    for name, record in sorted(snapshot.functions.items()):
        published = () if record.published is None else (record.published,)
        lines += [f"{name} {record.next_version} {record.reserved_concurrency}"]
        lines += [configuration_text(each) for each in (*record.all_configurations(), *published)]
        lines += [alias_text(record.aliases[alias]) for alias in sorted(record.aliases)]
    lines += [repr(each) for kind in sorted(snapshot.resources) for _, each in sorted(snapshot.resources[kind].items())]
    for name, layer in sorted(snapshot.layers.items()):
        lines += [f"{name} {layer.next_version}", *map(layer_text, layer.versions.values())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def tell(*words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def until_full(storage: Storage, first: int, file_max: int) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_max, before[1]))
    for number in count(first):
        seen = exact(storage.catalog.snapshot)
        counts = dict(storage.code._counts)
        try:
            change(storage, number)
        except ServiceException as refusal:
            why = refusal.message
            break
    unchanged = exact(storage.catalog.snapshot) == seen and storage.code._counts == counts
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    change(storage, number)
    tell(unchanged, number, why, exact(storage.catalog.snapshot))


def main() -> None:
    storage = opened(Path(sys.argv[1]))
    first = int(sys.argv[2])
    tell("open", exact(storage.catalog.snapshot))
    if len(sys.argv) > 3:
        until_full(storage, first, int(sys.argv[3]))
        return
    for number in count(first):
        change(storage, number)
        tell(number, exact(storage.catalog.snapshot))


if __name__ == "__main__":
    main()
