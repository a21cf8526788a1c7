"""Finding the app: by module, by file, by the usual names."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastjobs.errors import ConfigError
from fastjobs.loader import load_app, resolve_target


class App:
    """What is looked for in these tests."""


SOURCE = "from tests.unit.test_loader import App\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTJOBS_APP", raising=False)
    path, modules = sys.path[:], set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_module_and_variable(here: Path) -> None:
    (here / "shop_a.py").write_text(f"{SOURCE}first = App()\nsecond = App()\n")
    target, app = load_app("shop_a:second", App)
    assert target == "shop_a:second"
    assert app is sys.modules["shop_a"].second


def test_a_module_in_a_package(here: Path) -> None:
    (here / "shop_b").mkdir()
    (here / "shop_b" / "__init__.py").touch()
    (here / "shop_b" / "jobs.py").write_text(f"{SOURCE}app = App()\n")
    assert load_app("shop_b.jobs", App)[0] == "shop_b.jobs:app"


def test_a_module_with_one_app_needs_no_variable(here: Path) -> None:
    (here / "shop_c.py").write_text(f"{SOURCE}queue = App()\nalias = queue\n")
    target, app = load_app("shop_c", App)
    assert target in ("shop_c:queue", "shop_c:alias")
    assert isinstance(app, App)


def test_a_module_with_several_apps_or_none_needs_one(here: Path) -> None:
    (here / "shop_d.py").write_text(f"{SOURCE}one = App()\nother = App()\n")
    with pytest.raises(ConfigError, match="but holds: one, other; use shop_d:NAME"):
        load_app("shop_d", App)
    (here / "shop_e.py").write_text(SOURCE)
    with pytest.raises(ConfigError, match="but holds: none"):
        load_app("shop_e", App)


@pytest.mark.parametrize("target", ["missing", "App", "SOURCE"])
def test_a_variable_that_is_missing_or_no_app_is_told(here: Path, target: str) -> None:
    (here / "shop_f.py").write_text(f"{SOURCE}app = App()\nSOURCE = 5\n")
    with pytest.raises(ConfigError, match=f"shop_f has no App named '{target}'"):
        load_app(f"shop_f:{target}", App)


def test_a_file_is_imported_once_under_its_own_name(here: Path) -> None:
    (here / "jobs.py").write_text(f"{SOURCE}app = App()\nif __name__ == '__main__':\n    raise SystemExit(1)\n")
    target, app = load_app("jobs.py", App)
    assert target == "jobs.py:app"
    assert load_app(str(here / "jobs.py"), App)[1] is app
    assert sys.modules["jobs"].app is app


def test_another_module_that_imports_the_file_gets_the_same_app(here: Path) -> None:
    (here / "jobs.py").write_text(f"{SOURCE}app = App()\nimport handlers_l\n")
    (here / "handlers_l.py").write_text("from jobs import app\n")
    _, app = load_app("jobs.py", App)
    assert sys.modules["handlers_l"].app is app


def test_a_file_in_packages_is_imported_with_them(here: Path) -> None:
    (here / "shop_m" / "work").mkdir(parents=True)
    for folder in ("shop_m", "shop_m/work"):
        (here / folder / "__init__.py").touch()
    (here / "shop_m" / "base.py").write_text("value = 5\n")
    (here / "shop_m" / "work" / "jobs.py").write_text(f"{SOURCE}from ..base import value\napp = App()\n")
    target, app = load_app("shop_m/work/jobs.py", App)
    assert target == "shop_m/work/jobs.py:app"
    assert load_app("shop_m.work.jobs", App)[1] is app


def test_what_a_file_defines_can_be_pickled(here: Path) -> None:
    (here / "shop_n.py").write_text(f"{SOURCE}app = App()\nclass Order: pass\n")
    load_app("shop_n.py", App)
    assert type(pickle.loads(pickle.dumps(sys.modules["shop_n"].Order()))) is sys.modules["shop_n"].Order


@pytest.mark.parametrize("name", ["queue.py", "sys.py"])
def test_a_file_with_the_name_of_another_module_is_refused(here: Path, name: str) -> None:
    (here / name).write_text(f"{SOURCE}app = App()\n")
    with pytest.raises(ConfigError, match=f"{name} cannot be imported: its name '{name[:-3]}' is that of .*rename"):
        load_app(name, App)


def test_a_file_may_import_its_neighbours(here: Path) -> None:
    (here / "sub").mkdir()
    (here / "sub" / "neighbour_g.py").write_text("value = 5\n")
    (here / "sub" / "shop_g.py").write_text(f"{SOURCE}from neighbour_g import value\napp = App()\n")
    assert load_app("sub/shop_g.py", App)[0] == "sub/shop_g.py:app"


def test_what_is_not_there_is_named(here: Path) -> None:
    with pytest.raises(ConfigError, match="no module 'nothing_h'"):
        load_app("nothing_h:app", App)
    with pytest.raises(ConfigError, match=r"no file .*nothing\.py"):
        load_app("nothing.py", App)


def test_a_module_that_fails_to_import_is_told_with_its_reason(here: Path) -> None:
    (here / "shop_i.py").write_text("import nothing_at_all_i\n")
    with pytest.raises(ConfigError, match="importing shop_i failed: No module named 'nothing_at_all_i'"):
        load_app("shop_i", App)
    (here / "shop_j.py").write_text("1 / 0\n")
    for target in ("shop_j", "shop_j.py"):
        with pytest.raises(ConfigError, match=f"importing .*{target} failed: ZeroDivisionError"):
            load_app(target, App)


def test_a_file_that_failed_can_be_tried_again(here: Path) -> None:
    (here / "shop_k.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError):
        load_app("shop_k.py", App)
    (here / "shop_k.py").write_text(f"{SOURCE}app = App()  # now longer than before\n")
    assert isinstance(load_app("shop_k.py", App)[1], App)


def test_without_a_target_the_environment_then_pyproject_then_the_usual_files_are_asked(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no app: name it"):
        resolve_target(None)
    (here / "app.py").touch()
    assert resolve_target(None) == "app.py"
    (here / "jobs.py").touch()
    assert resolve_target(None) == "jobs.py"
    (here / "pyproject.toml").write_text('[tool.fastjobs]\napp = "shop:app"\n')
    assert resolve_target(None) == "shop:app"
    monkeypatch.setenv("FASTJOBS_APP", "env:app")
    assert resolve_target(None) == "env:app"
    assert resolve_target("given:app") == "given:app"
