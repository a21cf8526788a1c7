"""The package as a whole: the core is compiled, and modules import downwards only."""

from __future__ import annotations

import ast
import importlib.machinery
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fastjobs
from fastjobs import _core

PACKAGE = Path(fastjobs.__file__).parent

#: Low to high. A module imports from its own layer and those below it; a package counts as one.
LAYERS = [
    ["errors"],
    ["backoff", "cipher", "logs", "names", "progress", "secret"],
    ["payload"],
    ["config", "job", "keys", "options", "limits", "partitions", "record", "recurring", "registry", "retry"],
    ["keyring"],
    ["_core", "scripts"],
    ["context"],
    ["embedded", "urls", "locators", "connection", "cluster", "routing", "replies", "exchange", "endpoint", "store"],
    ["sending", "found"],
    ["listing", "queues", "totals", "workers"],
    ["operations", "fsck", "doctor"],
    ["producer", "buffering", "inspection", "recurring_jobs", "worker"],
    ["jobtypes", "app", "loader"],
    ["__init__"],
    ["cli", "__main__"],
]
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}


def modules() -> dict[str, set[str]]:
    """Each module or package, and those of fastjobs that it imports."""
    imports: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        imports.setdefault(unit(path), set()).update(imported(path.read_text()))
    lines = re.findall(r"^from fastjobs.* import .*$", (PACKAGE / "_core.pyx").read_text(), re.M)
    imports["_core"] = set(imported("\n".join(lines)))
    return {name: found - {name} for name, found in imports.items()}


def unit(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a module is"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            if first == "fastjobs":
                known = rest and (rest[0] in LAYER_OF or exists(rest[0]))
                yield rest[0] if known else "__init__"


def exists(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()


def test_every_module_has_a_layer():
    assert modules().keys() <= LAYER_OF.keys(), "add the new module to LAYERS"


def test_modules_import_downwards_only():
    upwards = [
        f"{name} imports {other}"
        for name, found in modules().items()
        for other in found
        if LAYER_OF[other] > LAYER_OF[name]
    ]
    assert upwards == []


def test_no_modules_import_each_other_in_a_circle():
    waiting = modules()
    while waiting:
        ready = [name for name, found in waiting.items() if not found & waiting.keys()]
        assert ready, f"a circle among {sorted(waiting)}"
        for name in ready:
            del waiting[name]


def test_the_core_is_the_compiled_one():
    assert isinstance(_core.__loader__, importlib.machinery.ExtensionFileLoader)
    assert Path(_core.__file__).suffix == ".so"
    assert type(_core.new_id).__name__ == "builtin_function_or_method"


WITHOUT_CORE = """
import sys

class WithoutCore:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name == "fastjobs._core" else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(WithoutCore, sys.meta_path)
try:
    import fastjobs
except ImportError as error:
    print(error)
"""


def test_without_the_core_one_sentence_says_what_to_do():
    process = subprocess.run([sys.executable, "-c", WITHOUT_CORE], capture_output=True, text=True, check=True)
    (sentence,) = process.stdout.splitlines()
    assert "not compiled" in sentence
    assert "pip install" in sentence
    assert process.stderr == ""
