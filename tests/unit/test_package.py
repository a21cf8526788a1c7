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

#: Low to high. A module imports from its own layer and those below it; a folder counts as one.
LAYERS = [
    ["errors"],
    ["importing"],
    ["model"],
    ["_core"],
    ["logs", "config", "options"],
    ["job", "context", "handlers"],
    ["registry"],
    ["server"],
    ["store"],
    ["producing"],
    ["operating"],
    ["worker"],
    ["enqueuing"],
    ["jobtypes", "loader"],
    ["app"],
    ["__init__"],
    ["cli", "__main__"],
]
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}
#: The same for the folders of the worker: a supervisor imports nothing that runs jobs, and a process no supervisor.
APART = [("worker/supervisor", "fastjobs.worker.process"), ("worker/process", "fastjobs.worker.supervisor")]


def units() -> dict[str, set[str]]:
    """Each module directly in the package and each folder of it, and those that it imports."""
    imports: dict[str, set[str]] = {}
    for name, found in modules().items():
        imports.setdefault(unit(name), set()).update(map(unit, found))
    return {name: found - {name} for name, found in imports.items()}


def unit(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def modules() -> dict[str, set[str]]:
    """Each module by its full name, and the modules of fastjobs that it imports."""
    imports = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        imports[name] = set(imported(path.read_text())) - {name}
    lines = re.findall(r"^from fastjobs.* import .*$", (PACKAGE / "_core.pyx").read_text(), re.M)
    imports["fastjobs._core"] = set(imported("\n".join(lines)))
    return imports


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
            if name.split(".")[0] == "fastjobs":
                # What is imported from a module is a module itself, or something in it.
                yield name if exists(name) else name.rpartition(".")[0]


def exists(module: str) -> bool:
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").exists() or path.with_suffix(".pyi").exists()


def test_every_module_has_a_layer():
    assert units().keys() <= LAYER_OF.keys(), "add the new module to LAYERS"


def test_modules_import_downwards_only():
    upwards = [
        f"{name} imports {other}"
        for name, found in units().items()
        for other in found
        if LAYER_OF[other] > LAYER_OF[name]
    ]
    assert upwards == []


def test_supervisor_and_process_share_no_module_of_each_other():
    for folder, other in APART:
        for path in (PACKAGE / folder).rglob("*.py"):
            assert not [name for name in imported(path.read_text()) if name.startswith(other)], path


def test_no_modules_import_each_other_in_a_circle():
    waiting = modules()
    while waiting:
        ready = [name for name, found in waiting.items() if not found & waiting.keys()]
        assert ready, f"a circle among {sorted(waiting)}"
        for name in ready:
            del waiting[name]


def test_only_the_store_speaks_commands():
    speaking = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] not in ("store", "server", "cli")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") in ("command", "script", "script_on", "pack_head")
    ]
    assert speaking == []


def test_only_the_model_takes_names_of_stored_things_apart():
    """A ref has a tilde, a partition a number sign, a member of `ready` thirteen digits: see model/refs.py."""
    grammar = re.compile(r"""["'][^"'\n]*~|\[:13\]|\[13:\]|["']#["']""")
    elsewhere = [
        f"{path.relative_to(PACKAGE)}:{number}"
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] != "model"
        for number, line in enumerate(code_lines(path), 1)
        if grammar.search(line)
    ]
    assert elsewhere == []


def code_lines(path: Path) -> list[str]:
    """The lines of a module without docstrings and comments."""
    lines = path.read_text().splitlines()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return [line.partition("  #")[0] if not line.lstrip().startswith("#") else "" for line in lines]


def test_few_modules_stand_outside_of_the_folders():
    assert len(list(PACKAGE.glob("*.py"))) <= 14


def test_every_folder_says_in_a_sentence_what_it_is():
    for path in PACKAGE.rglob("__init__.py"):
        sentence = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0]
        assert sentence.endswith("."), path


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
