"""F1: the root directory that every environment starts from: read-only, small, laid out as Lambda's. Built in a zygote.

What an environment adds for itself (its code, layers, /tmp, /proc) is `jail.py`'s. Nothing of the host is in it but
its programs and libraries (/usr), the interpreter (/var/lang), a few files of /etc, and five devices.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from .._ext import namespaces as ns

TASK: Final = "/var/task"
LAYERS: Final = "/opt"
RUNTIME: Final = "/var/runtime"
LANGUAGE: Final = "/var/lang"
BOOTSTRAPS: Final = "/var/rapid"  # Lambda has its own init there
CACHE: Final = "/var/cache/runtimes"
RUNTIME_PLACES: Final = {"bootstraps": BOOTSTRAPS, "cache": CACHE}
LOCKED: Final = "/run/store"  # only for who is root here, and covered before a function runs
STORE: Final = f"{LOCKED}/code"  # the unpacked bundles of all functions
EMPTY: Final = "/var/empty"
COVERED_HOMES: Final = "/var/homes"
OLD: Final = "/run/host"
SIZE_MOST: Final = "16m"  # files of /etc and of the runtime's packages that are copied
HOSTNAME: Final = "sandbox"
USER_NAME: Final = "sbx_user1051"  # what Lambda calls the user

_COVERING: Final = tuple(f"{folder}/" for folder in (LAYERS, TASK, "/tmp", LOCKED))
_FOLDERS: Final = (
    *("dev", "etc", "opt", "proc", "tmp", "usr", "var/lang", "var/runtime", "var/task", "var/tmp"),
    *(folder[1:] for folder in (STORE, EMPTY, OLD, BOOTSTRAPS, CACHE)),
)
_PROGRAM_FOLDERS: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # links into /usr on most hosts
_ETC: Final = (
    *("alternatives", "ca-certificates", "host.conf", "ld.so.cache", "localtime", "mime.types", "pki/tls"),
    *("protocols", "resolv.conf", "services", "ssl/certs", "ssl/openssl.cnf"),
)
_DEVICES: Final = ("full", "null", "random", "urandom", "zero")
_PLAIN_ETC: Final = {
    "group": "root:x:0:\n",
    "hostname": f"{HOSTNAME}\n",
    "hosts": "127.0.0.1 localhost sandbox.localdomain sandbox\n::1 localhost ip6-localhost ip6-loopback\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
}


def build(
    *,
    store: str,
    packages: Mapping[str, str],
    prefix: str,
    uids: range,
    bootstraps: str,
    cache: str,
    homes: Sequence[str],
) -> None:
    """Make it the root of this process's mount namespace, and the host's unreachable. Raises OSError.

    store: the folder of unpacked bundles. packages: what Lambda's Python ships, by name, and where it is. prefix: where
    the interpreter is installed. uids: of users that environments will run as. bootstraps, cache, homes: what other
    languages need, and interpreters outside /usr, which stay where they are. Paths are real ones, without links.
    """
    ns.mount("none", "/", "", ns.RECURSIVE | ns.SLAVE)
    ns.mount("tmpfs", "/tmp", "tmpfs", ns.NOSUID | ns.NODEV, f"size={SIZE_MOST},mode=755")
    for folder in _FOLDERS:
        os.makedirs(f"/tmp/{folder}", mode=0o755, exist_ok=True)
    os.chdir("/tmp")
    ns.pivot(".", f".{OLD}")
    os.chdir("/")
    _show("/usr", "/usr")
    for folder in _PROGRAM_FOLDERS:
        _mirror(f"/{folder}")
    _show(prefix, LANGUAGE)
    os.chmod(LOCKED, 0o700)
    _show(store, STORE)
    _show(bootstraps, BOOTSTRAPS)
    if cache:
        _show(cache, CACHE)
    for home in homes:
        _show_home(home)
    for name, source in packages.items():
        _place(source, f"{RUNTIME}/{name}", copy=name.endswith((".dist-info", ".egg-info")))
    _fill_etc(uids)
    _make_devices()
    ns.mount(f"{OLD}/proc", "/proc", "", ns.BIND | ns.RECURSIVE)
    os.chmod("/tmp", 0o1777)
    ns.unmount(OLD)
    os.rmdir(OLD)
    ns.mount("none", "/", "", ns.REMOUNT | ns.BIND | ns.READ_ONLY | ns.NOSUID | ns.NODEV)


def _show(source: str, target: str) -> None:
    """A folder of the host's, read-only."""
    ns.mount(OLD + source, target, "", ns.BIND | ns.RECURSIVE)
    ns.protect(target, read_only=True)


def _show_home(home: str) -> None:
    """An interpreter's folder, where it is on the host: programs know where they were installed."""
    target = home_inside(home)
    if os.path.isdir(OLD + home) and not os.path.lexists(target):
        os.makedirs(target, mode=0o755)
        _show(home, target)


def home_inside(home: str) -> str:
    """Where an interpreter's folder is seen: where it is, or elsewhere if something of the function covers that."""
    return f"{COVERED_HOMES}{home}" if f"{home}/".startswith(_COVERING) else home


def _mirror(folder: str) -> None:
    """/bin and its like: the same link as on the host, or what is in it."""
    if os.path.islink(OLD + folder):
        os.symlink(os.readlink(OLD + folder), folder)
    elif os.path.isdir(OLD + folder):
        os.mkdir(folder)
        _show(folder, folder)


def _place(source: str, target: str, *, copy: bool = False) -> None:
    """Large folders are shown, the rest is copied: every mount costs each environment a microsecond."""
    if not os.path.isdir(OLD + source):
        _copy(OLD + source, target)
        return
    os.mkdir(target)
    if not copy:
        _show(source, target)
        return
    for name in os.listdir(OLD + source):
        _place(f"{source}/{name}", f"{target}/{name}", copy=True)


def _copy(source: str, target: str) -> None:
    with open(source, "rb") as original, open(target, "wb") as copy:
        copy.write(original.read())


def _fill_etc(uids: range) -> None:
    for name in _ETC:
        source = f"/etc/{name}"
        if os.path.islink(OLD + source):  # as the host would follow it
            source = os.path.normpath(os.path.join(os.path.dirname(source), os.readlink(OLD + source)))
        if os.path.exists(OLD + source):
            os.makedirs(os.path.dirname(f"/etc/{name}"), exist_ok=True)
            _place(source, f"/etc/{name}")
    users = "".join(f"{USER_NAME}:x:{uid}:{uid}::/tmp:/sbin/nologin\n" for uid in (*uids, os.geteuid()) if uid)
    for name, text in {**_PLAIN_ETC, "passwd": f"root:x:0:0:root:/root:/sbin/nologin\n{users}"}.items():
        with open(f"/etc/{name}", "w") as file:
            file.write(text)


def _make_devices() -> None:
    for name in _DEVICES:
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY))
        ns.mount(f"{OLD}/dev/{name}", f"/dev/{name}", "", ns.BIND)
    os.symlink("/proc/self/fd", "/dev/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"/dev/{name}")
