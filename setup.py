"""Build logic only: compiles the Cython core. Metadata lives in pyproject.toml."""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

core = Extension(
    "fastjobs._core",
    ["fastjobs/_core.pyx"],
    extra_compile_args=["-O3", "-g0", "-fvisibility=hidden"] if os.name == "posix" else [],
)

setup(
    ext_modules=cythonize(
        [core],
        language_level=3,
        annotate=bool(os.environ.get("FASTJOBS_ANNOTATE")),
        compiler_directives={"embedsignature": False, "binding": False},
    )
)
