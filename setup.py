"""Build logic only: compiles the Cython core. Metadata lives in pyproject.toml."""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

# Further options for the compiler alone: sanitizers and coverage, whose runtime is loaded before the interpreter.
options = os.environ.get("FASTJOBS_CORE_OPTIONS", "").split()

core = Extension(
    "fastjobs._core",
    ["fastjobs/_core.pyx"],
    # Frames of tracebacks are kept by line. Without the lines of the C file, those of two included files get mixed up.
    define_macros=[("CYTHON_CLINE_IN_TRACEBACK", "1")],
    extra_compile_args=["-O3", "-g0", "-fvisibility=hidden", *options] if os.name == "posix" else [],
)

setup(
    ext_modules=cythonize(
        [core],
        language_level=3,
        annotate=bool(os.environ.get("FASTJOBS_ANNOTATE")),
        compiler_directives={"embedsignature": False, "binding": False},
    )
)
