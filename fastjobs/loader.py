"""Finds the app, `module:variable`, `module` or the path of a file, and the modules with its handlers."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from fastjobs import importing
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


def load_app(target: str | None, kind: type[T], include: Iterable[str] = ()) -> tuple[str, T]:
    """Imports the app; a file under its own name, so that `from jobs import app` in another module gives the same app.

    Args:
        target: as in `resolve_target`.
        kind: the class of the app.
        include: modules to import as well, because they register handlers; of a package all modules below it, too.

    Returns:
        The target, and the app.

    Raises:
        ConfigError: there is no such module, file or variable, it is not an app, importing it failed, the app enqueues
            jobs while it is imported, or a module to include holds another app only.
    """
    target = resolve_target(target)
    place, _, variable = target.partition(":")
    with importing.app_import():
        target, app = _find(_import(place), place, variable, kind)
        for name in include:
            _include(name, target, app)
    return target, app


def _find(module: ModuleType, place: str, variable: str, kind: type[T]) -> tuple[str, T]:
    if variable:
        app = getattr(module, variable, None)
        if not isinstance(app, kind):
            raise ConfigError(f"{place} has no {kind.__name__} named {variable!r}")
        return f"{place}:{variable}", app
    found = {name: value for name, value in vars(module).items() if isinstance(value, kind)}
    if len({id(value) for value in found.values()}) != 1:
        names = ", ".join(sorted(found)) or "none"
        raise ConfigError(f"{place} must hold exactly one {kind.__name__}, but holds: {names}; use {place}:NAME")
    name, app = next(iter(found.items()))
    return f"{place}:{name}", app


def _include(place: str, target: str, app: object) -> None:
    """Imports a module that registers handlers of the app, or all modules of a package."""
    module = _import(place)
    apps = [value for value in vars(module).values() if isinstance(value, type(app))]
    if apps and not any(value is app for value in apps):
        raise ConfigError(f"{place} holds another app than {target}: a worker runs the jobs of one app")
    _import_below(module)


def _import_below(package: ModuleType) -> None:
    for found in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
        # Importing `__main__` runs the package.
        if not found.name.endswith(".__main__"):
            _import_below(_import(found.name))


def modules_of(functions: Iterable[Callable[..., object]]) -> list[str]:
    """Returns the modules from which a new process gets these functions, without the script that is running."""
    names = {str(getattr(function, "__module__", None) or "") for function in functions}
    found = (name for name in names if getattr(sys.modules.get(name), "__spec__", None) is not None)
    return sorted(name for name in found if name not in ("__main__", "__mp_main__"))


def target_of(app: object, *, in_script: bool) -> str:
    """Returns the target from which a new process can import an app: a variable of a module of this process.

    Args:
        app: the app.
        in_script: whether it has to be the script that is running, as that has handlers or hooks of its own. Otherwise
            any other module is better: a process that imports the script runs its statements.

    Raises:
        ConfigError: no module that can be imported holds the app in a variable, or the script has to and does not.
    """
    found = sorted(_targets_of(app), key=lambda item: (item[0] == "__main__") != in_script)
    if not found:
        raise ConfigError("this app is in no module's variable: say where it is, app.pool(app='module:variable')")
    if in_script and found[0][0] != "__main__":
        raise ConfigError(
            "the running program has handlers or hooks of this app, and the processes of a pool could not find them:"
            " put them into a module beside the app, or assign the app to a variable of the program's file"
        )
    return found[0][1]


def _targets_of(app: object) -> Iterator[tuple[str, str]]:
    """Yields (module, target) for each variable that holds the app."""
    for module in list(sys.modules.values()):
        # Its own name: multiprocessing lists the running script as `__mp_main__` as well.
        name, file = getattr(module, "__name__", ""), getattr(module, "__file__", None)
        place = str(Path(file).resolve()) if name == "__main__" and file else name
        for variable, value in list(vars(module).items()) if hasattr(module, "__dict__") else ():
            if value is app and place != "__main__":
                yield name, f"{place}:{variable}"


def _import(place: str) -> ModuleType:
    _search_first(Path.cwd())
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
    path = path.resolve()
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    root, name = _module_of(path)
    _search_first(root)
    try:
        module = importlib.import_module(name)
    except Exception as error:
        raise ConfigError(f"importing {path} failed: {type(error).__name__}: {error}") from error
    found = getattr(module, "__file__", None)
    if found is None or Path(found).resolve() != path:
        raise ConfigError(
            f"{path} cannot be imported: its name {name!r} is that of {found or 'a built-in module'}; rename the file"
        )
    return module


def _module_of(path: Path) -> tuple[Path, str]:
    """Returns the folder from which a file is imported, and its name there: with its packages, if it is in some."""
    root, parts = path.parent, [path.stem]
    while (root / "__init__.py").is_file():
        root, parts = root.parent, [root.name, *parts]
    return root, ".".join(parts)


def _search_first(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
