"""The comparison with other queues: nobody is left out of its tables, and documents change only where they should."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers import catalogue, environment
from bench.peers.catalogue import PEERS, Configuration
from bench.peers.measure import FIGURES, PeerFailed, Run, last_line
from bench.peers.report import PeerResult, best, short_table, whole_table
from bench.publish import put

PEERS_DIRECTORY = Path(catalogue.__file__).parent


def measured(peer: str, name: str, *drains: float, failed: str = "") -> dict[str, object]:
    result = PeerResult(peer, Configuration(name, 10, "yes", "no", "as it comes"), failed=failed)
    for drain in drains:
        result.add({figure.name: 1.0 for figure in FIGURES} | {"drain": drain})
    return result.as_json()


def test_every_peer_has_an_adapter_and_pinned_requirements() -> None:
    adapters = {path.stem.removeprefix("with_") for path in PEERS_DIRECTORY.glob("with_*.py")}
    assert adapters == {peer.name for peer in PEERS}
    for peer in adapters - {"fastjobs"}:
        lines = (PEERS_DIRECTORY / f"requirements/{peer}.txt").read_text().splitlines()
        assert all("==" in line for line in lines if not line.startswith("#")), peer


def test_the_best_configuration_is_the_one_whose_median_drains_fastest() -> None:
    rows = [measured("a", "default", 5, 5, 99), measured("a", "tuned", 6, 6, 6), measured("b", "default", 1)]
    assert [row["configuration"] for row in best(rows)] == ["tuned", "default"]


def test_who_failed_stays_in_both_tables_with_the_error() -> None:
    rows = [measured("a", "default", 5), measured("b", "default", failed="no such | option")]
    for table in (whole_table(rows), short_table(rows)):
        (line,) = [line for line in table.splitlines() if line.startswith("| b")]
        assert r"FAILED: no such \| option" in line
    assert best([measured("b", "default", failed="x"), measured("b", "tuned", 1)])[0]["configuration"] == "tuned"


def test_a_job_that_ran_twice_or_not_at_all_is_noticed(tmp_path: Path) -> None:
    run = object.__new__(Run)
    run._notes, run._worker = tmp_path, None
    (tmp_path / "ran").write_text("1\n0\n2\n")
    run.check_each_ran_once(3)
    (tmp_path / "ran").write_text("1\n0\n1\n")
    with pytest.raises(PeerFailed):
        run.check_each_ran_once(3)


def test_an_environment_is_made_anew_only_when_requirements_change(tmp_path: Path, monkeypatch) -> None:
    made: list[Path] = []
    (tmp_path / "requirements").mkdir()
    requirements = tmp_path / "requirements/queue.txt"
    monkeypatch.setattr(environment, "_ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(environment, "_REQUIREMENTS", tmp_path / "requirements")
    monkeypatch.setattr(environment.subprocess, "run", lambda *_, **__: None)

    def make(directory: Path, **_: object) -> None:
        directory.mkdir(exist_ok=True)
        made.append(directory)

    monkeypatch.setattr(environment.venv, "create", make)
    for pinned in ("queue==1", "queue==1", "queue==2"):
        requirements.write_text(pinned)
        environment.interpreter("queue")
    assert made == [tmp_path / "queue"] * 2


def test_only_the_place_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- peers -->\nold \\1\n<!-- /peers -->\nafter\n")
    put(page, "peers", "new \\1\n")
    assert page.read_text() == "before\n<!-- peers -->\nnew \\1\n<!-- /peers -->\nafter\n"
    with pytest.raises(SystemExit):
        put(page, "others", "text")


def test_the_error_told_is_the_last_line_that_says_something() -> None:
    assert last_line("Traceback\nValueError: no\n\n") == "ValueError: no"
    assert last_line("\n") == "it said nothing"
