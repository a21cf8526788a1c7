"""Finds the app: `module:variable`, `module`, or the path of a file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from fastjobs.config import pyproject_settings
from fastjobs.errors import ConfigError

T = TypeVar("T")

#: Files to try when no setting names the app.
_USUAL_FILES = ("jobs.py", "app.py")


def resolve_target(target: str | None) -> str:
    """Returns the name of the app's module or file, without importing it.

    Args:
        target: the name; None = FASTJOBS_APP, then `app` in [tool.fastjobs], then jobs.py or app.py here.

    Raises:
        ConfigError: nothing names the app; the message lists what was tried.
    """
    if target:
        return target
    if os.environ.get("FASTJOBS_APP"):
        return os.environ["FASTJOBS_APP"]
    _, project = pyproject_settings()
    if project.get("app"):
        return str(project["app"])
    for name in _USUAL_FILES:
        if Path(name).is_file():
            return name
    raise ConfigError(
        "no app: name it (fastjobs-worker module:app), set FASTJOBS_APP or `app` in [tool.fastjobs],"
        f" or put it into {' or '.join(_USUAL_FILES)} in this directory ({Path.cwd()})"
    )


def load_app(target: str | None, kind: type[T]) -> tuple[str, T]:
    """Imports the app.

    Args:
        target: as in `resolve_target`.
        kind: the class of the app.

    Returns:
        The target, and the app.

    Raises:
        ConfigError: there is no such module, file or variable, it is not an app, or importing it failed.
    """
    target = resolve_target(target)
    place, _, variable = target.partition(":")
    module = _import(place)
    if variable:
        app = getattr(module, variable, None)
        if not isinstance(app, kind):
            raise ConfigError(f"{place} has no {kind.__name__} named {variable!r}")
        return target, app
    found = {name: value for name, value in vars(module).items() if isinstance(value, kind)}
    if len({id(value) for value in found.values()}) != 1:
        names = ", ".join(sorted(found)) or "none"
        raise ConfigError(f"{place} must hold exactly one {kind.__name__}, but holds: {names}; use {place}:NAME")
    name, app = next(iter(found.items()))
    return f"{place}:{name}", app


def _import(place: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    if place.endswith(".py") or os.sep in place:
        return _import_file(Path(place))
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and (place == error.name or place.startswith(f"{error.name}.")):
            raise ConfigError(f"there is no module {error.name!r} (looked in {Path.cwd()})") from error
        raise ConfigError(f"importing {place} failed: {error}") from error
    except Exception as error:
        raise ConfigError(f"importing {place} failed: {type(error).__name__}: {error}") from error


def _import_file(path: Path) -> ModuleType:
    """Imports a file under a special name, so that its `__main__` part does not run."""
    path = path.resolve()
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    digest = hashlib.sha1(str(path).encode(), usedforsecurity=False).hexdigest()[:8]
    name = f"{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(f"importing {path} failed: {type(error).__name__}: {error}") from error
    return module
