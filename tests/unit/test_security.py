"""What the package does not do, read from its source: unpickle, evaluate, import what the server names."""

from __future__ import annotations

import ast
from pathlib import Path

import fastjobs

PACKAGE = Path(fastjobs.__file__).parent
SOURCES = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
#: Modules that make objects or code out of bytes.
UNSAFE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "yaml", "jsonpickle", "copyreg"}
#: Calls that turn text into code.
EVALUATING = {"eval", "exec", "compile", "__import__", "import_module", "exec_module"}


def imported() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, tree in SOURCES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found.setdefault(name, set()).update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                found.setdefault(name, set()).add((node.module or "").split(".")[0])
    return found


def called() -> set[tuple[str, str]]:
    return {
        (name, node.func.id if isinstance(node.func, ast.Name) else node.func.attr)
        for name, tree in SOURCES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
    }


def test_nothing_makes_objects_out_of_bytes():
    assert len(SOURCES) > 50
    assert {name: found & UNSAFE for name, found in imported().items() if found & UNSAFE} == {}
    core = "".join(path.read_text() for path in (PACKAGE / "_core.pyx", *(PACKAGE / "core").glob("*.pxi")))
    assert not any(f"import {module}" in core for module in UNSAFE)


def test_code_is_imported_only_where_a_command_names_an_app():
    # `re.compile` is no compilation of code.
    loading = {(name, call) for name, call in called() if call in EVALUATING and call != "compile"}
    assert {name for name, _ in loading} == {"loader.py"}
    compiling = [
        name
        for name, tree in SOURCES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "compile"
    ]
    assert compiling == []


def test_what_loads_apps_knows_nothing_of_the_server():
    names = {
        node.module
        for node in ast.walk(SOURCES["loader.py"])
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fastjobs")
    }
    assert not names & {
        "fastjobs.store.store",
        "fastjobs.server.connection",
        "fastjobs.model.record",
        "fastjobs.operating.stored_jobs",
    }
