"""The extension list and a debug switch; everything else is in pyproject.toml."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("ENGINE_DEBUG_BUILD") == "1"
FLAGS = ["-O1", "-g", "-UNDEBUG"] if DEBUG else ["-O3", "-g0"]

setup(
    ext_modules=cythonize(
        [
            Extension(
                f"engine._ext.{source.stem}",
                [str(source)],
                extra_compile_args=["-std=gnu11", *FLAGS],
                depends=[str(header) for header in sorted(Path("ext").rglob("*.h"))],
            )
            for source in sorted(Path("ext").glob("*.pyx"))
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
