"""The arithmetic of the benchmarks: what turns measurements into verdicts."""

from __future__ import annotations

import tomllib

import pytest

from bench.guard import FLOORS, Check, check_rows
from bench.instructions import PARTNERS
from bench.nodes import queue_apart
from bench.notes import Note
from bench.report import Result
from bench.rows import ROWS, Figure, Row
from bench.rows.handlers import longest_idle_ms
from bench.scaling import busiest_share, idle_commands, idle_connections, most_on_one
from bench.traffic import calls_of_clients
from fastjobs.store.scripts import load

MS = 1_000_000


class TwoSides(Row):
    name = "two_sides"
    title = "a row"
    figures = (Figure("ratio", "x"), Figure("size", "bytes"))

    def measure(self, turn: int) -> dict[str, float]:
        return {}


def measured(*rounds: tuple[float, float]) -> Result:
    result = Result(TwoSides)
    for ratio, size in rounds:
        result.add({"ratio": ratio, "size": size})
    return result


def test_idling_counts_while_jobs_are_unstarted() -> None:
    busy = [Note(start * MS, (start + 100) * MS, 1) for start in (10, 110, 210)]
    idler = [Note(10 * MS, 20 * MS, 2), Note(95 * MS, 96 * MS, 2)]
    # From 96 to 210, when the last job is started elsewhere.
    assert longest_idle_ms(busy + idler) == 114


def test_idling_does_not_count_once_the_last_job_has_started() -> None:
    runs = [Note(10 * MS, 500 * MS, 1), Note(10 * MS, 20 * MS, 2), Note(25 * MS, 30 * MS, 2)]
    assert longest_idle_ms(runs) == 5


def test_a_figure_meets_its_target_from_the_right_side() -> None:
    assert Figure("f", "x", at_least=2).meets(2)
    assert not Figure("f", "x", at_least=2).meets(1.9)
    assert Figure("f", "x", at_most=2).meets(2)
    assert not Figure("f", "x", at_most=2).meets(2.1)
    assert Figure("f", "x").meets(-1e9)


def test_the_guard_judges_medians() -> None:
    floors = {"at_least": {"two_sides.ratio": 0.5}, "at_most": {"two_sides.size": 15.0}}
    good, bad = measured((0.4, 14), (0.6, 15), (0.7, 99)), measured((0.4, 16), (0.45, 17), (9.0, 1))
    assert [check.holds for check in check_rows(floors, [good])] == [True, True]
    assert [check.holds for check in check_rows(floors, [bad])] == [False, False]


def test_the_guard_does_not_pass_what_was_not_measured() -> None:
    floors = {"at_least": {"two_sides.ratio": 0.5}, "at_most": {}}
    failed = Result(TwoSides, failed="it broke")
    with pytest.raises(SystemExit, match="it broke"):
        list(check_rows(floors, [failed]))


def test_a_ceiling_breaks_above() -> None:
    assert Check("size", 15.0, 15.0, is_floor=False).holds
    assert not Check("size", 15.1, 15.0, is_floor=False).holds


def test_floors_are_of_figures_that_exist() -> None:
    floors = tomllib.loads(FLOORS.read_text())
    known = {f"{row.name}.{figure.name}" for row in ROWS for figure in row.figures}
    assert {*floors["at_least"], *floors["at_most"]} <= known
    assert set(floors["instructions"]) <= set(PARTNERS)


def test_calls_of_scripts_are_not_those_of_clients() -> None:
    heard = f"""OK
+1.000001 [0 127.0.0.1:1] "BLPOP" "{{a}}:wake" "1.000"
+1.000002 [0 127.0.0.1:1] "EVALSHA" "{load("fetch").sha}" "9" "BLPOP"
+1.000003 [0 lua] "HGET" "{{a}}:stats" "tick"
+1.000004 [0 unix:/tmp/s] "hget" "orders" "]"
+1.500001 [0 127.0.0.1:2] "PING"
""".encode()
    calls, seconds = calls_of_clients(heard.replace(b"\n", b"\r\n"))
    assert calls == {"blpop": 1, "fetch": 1, "hget": 1, "ping": 1}
    assert seconds == pytest.approx(0.5)


def test_the_model_counts_what_an_idle_worker_sends() -> None:
    # A wait and a fetch each second, an audit a lease; two looks a second, four commands a beat, two calls a quarter.
    assert idle_commands(1, 1, cluster=False, lease_s=30) == pytest.approx(2 + 1 / 30 + 2 + 4 / 5 + 2 / 7.5)
    further = idle_commands(2, 1, cluster=False, lease_s=30) - idle_commands(1, 1, cluster=False, lease_s=30)
    assert further == pytest.approx(2 + 1 / 30)
    # One wait watches all partitions of a server, but only one of a cluster.
    wide, on_cluster = (idle_commands(1, 8, cluster=cluster, lease_s=30) for cluster in (False, True))
    assert on_cluster - wide == pytest.approx(7)


def test_the_model_counts_connections() -> None:
    assert idle_connections(4, 1, None) == 9
    assert idle_connections(2, 8, 3) == 2 * (3 + 8) + 3


def test_partitions_are_counted_where_they_are() -> None:
    queue = queue_apart(3)
    assert [most_on_one(queue, 3, partitions) for partitions in (1, 2, 3)] == [1, 1, 1]
    assert most_on_one(queue, 1, 8) == 8
    assert busiest_share(1, 5) == 1.0
    # More partitions are spread more evenly.
    assert 1 / 3 < busiest_share(3, 24) < busiest_share(3, 6) < busiest_share(3, 3) < 1
