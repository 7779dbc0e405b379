"""The extension list and a debug switch; everything else is in pyproject.toml."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("ENGINE_DEBUG_BUILD") == "1"
LINK = [
    "-Wl,-z,relro,-z,now"
]  # every symbol is bound when a module is loaded: an environment's init has no linker left
FLAGS = ["-O1", "-g", "-UNDEBUG"] if DEBUG else ["-O3", "-g0"]

HEADERS = [str(header) for header in sorted(Path("ext").rglob("*.h"))]
# That other languages load, and where they find them.
LIBRARIES = {"java/surroundings.c": "java.surroundings", "node/place.c": "node.place", "place/place.c": "place"}

setup(
    ext_modules=cythonize(
        [
            Extension(
                f"engine._ext.{source.stem}",
                [str(source)],
                include_dirs=["ext"],
                extra_compile_args=["-std=gnu11", *FLAGS],
                extra_link_args=LINK,
                depends=HEADERS,
            )
            for source in sorted(Path("ext").glob("*.pyx"))
        ]
        + [
            Extension(
                f"engine.runtimes.bootstraps.{module}",
                [f"ext/{source}"],
                include_dirs=["ext"],
                extra_compile_args=["-std=gnu11", "-fvisibility=hidden", *FLAGS],
                extra_link_args=LINK,
                depends=HEADERS,
            )
            for source, module in LIBRARIES.items()
        ],
        include_path=["ext"],
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": DEBUG,
            "embedsignature": True,
        },
    )
)
