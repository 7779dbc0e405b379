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

setup(
    ext_modules=cythonize(
        [
            Extension(
                f"engine._ext.{source.stem}",
                [str(source)],
                extra_compile_args=["-std=gnu11", *FLAGS],
                extra_link_args=LINK,
                depends=[str(header) for header in sorted(Path("ext").rglob("*.h"))],
            )
            for source in sorted(Path("ext").glob("*.pyx"))
        ]
        + [
            Extension(  # no module, but a library that Java loads
                "engine.runtimes.bootstraps.java.surroundings",
                ["ext/java/surroundings.c"],
                extra_compile_args=["-std=gnu11", *FLAGS],
                extra_link_args=LINK,
            )
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
