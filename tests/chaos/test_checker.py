"""The checker is checked: builds that are broken on purpose turn it red, with the same faults that leave ours green."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.calm import count_runs
from tests.chaos.journal import Call, History, Run
from tests.chaos.verdict import Ended, Evidence, Verdict, judge
from tests.chaos.world import Hurt
from tests.harness.worker import ROOT, clean_environment

_BREAKING = Path(__file__).parent / "breaking"


def run_scenario(name: str, broken: str | None) -> tuple[int, str]:
    environment = clean_environment()
    if broken:
        environment |= {"CHAOS_BREAK": broken, "PYTHONPATH": f"{_BREAKING}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.scenarios", name],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["zombie", "orphans", "lost-reply"])
def test_fastjobs_as_it_is_passes(name):
    code, said = run_scenario(name, None)
    assert code == 0, said


@pytest.mark.parametrize(
    ("name", "broken", "problem"),
    [
        ("zombie", "fencing", "PROBLEM: queue alpha: "),
        ("orphans", "reclaim", "PROBLEM: started and never ended: 2"),
        ("lost-reply", "idempotency", "PROBLEM: ran again without a reason: 20"),
    ],
)
def test_a_broken_build_is_found_out(name, broken, problem):
    code, said = run_scenario(name, broken)
    assert code == 1, said
    assert problem in said


def test_a_break_that_no_longer_fits_the_scripts_is_told():
    code, said = run_scenario("lost-reply", "no such thing")
    assert code == 70
    assert "cannot break fastjobs" in said


# The verdict on evidence that was made up.

_SECOND = 10**9


def call(**changes: object) -> Call:
    made = Call(0, 3, "quick", "alpha", 0.0, _SECOND, 2 * _SECOND, stored=3)
    return replace(made, **changes)


def ran(
    key: int, pid: int = 7, start_s: float = 3.0, *, attempt: int = 1, ended: bool = True, raised: bool = False
) -> Run:
    start_ns = int(start_s * _SECOND)
    return Run(key, attempt, pid, start_ns, start_ns + 1000 if ended else None, raised)


def judged(calls: list[Call], runs: list[Run], **evidence: object) -> Verdict:
    history = History(supervisors={7: 1, 8: 1, 9: 2})
    for run in runs:
        history.runs[run.key].append(run)
    values = {"ended": {}, "hurts": [], "threads": 1, "lease_ms": 1000, **evidence}
    return judge(Evidence(calls=calls, history=history, **values))


def test_jobs_that_ran_once_are_well():
    verdict = judged([call()], [ran(0), ran(1), ran(2)])
    assert verdict.problems == []
    assert (verdict.executed, verdict.duplicates) == (3, 0)


@pytest.mark.parametrize(
    ("calls", "runs", "evidence", "problem"),
    [
        ([call()], [ran(0), ran(1)], {}, "acknowledged and lost"),
        ([call(stored=2, unknown=0)], [ran(0), ran(1), ran(2)], {}, "refused, and there all the same"),
        ([call()], [ran(0), ran(1), ran(2), ran(3)], {}, "never asked for"),
        ([call()], [ran(0), ran(1), ran(2, ended=False)], {}, "never ended"),
        ([call()], [ran(0), ran(1)], {"ended": {2: Ended("failed", ("CorruptChunk",))}}, "without a reason"),
        (
            [call(n=1, stored=1, kind="doomed")],
            [ran(0, raised=True)],
            {"ended": {0: Ended("failed", ("Planned",))}},
            "without a reason",
        ),
        ([call()], [ran(0), ran(1)], {"ended": {2: Ended("cancelled")}}, "cancelled unasked"),
        ([call()], [ran(0), ran(1), ran(2)], {"cancelled_ns": {2: 2 * _SECOND}}, "after it was cancelled"),
        ([call(delay_s=5.0)], [ran(0), ran(1), ran(2)], {}, "before its time"),
        ([call()], [ran(0), ran(1), ran(2), ran(2, start_s=4)], {}, "ran again without a reason"),
        ([call()], [ran(0), ran(1), ran(2, raised=True)], {}, "never ended"),
        ([call()], [ran(0), ran(1), ran(2)], {"found": ["something else"]}, "something else"),
    ],
)
def test_the_verdict_finds_what_is_wrong(calls, runs, evidence, problem):
    assert any(problem in told for told in judged(calls, runs, **evidence).problems)


@pytest.mark.parametrize(
    ("calls", "runs", "evidence"),
    [
        # In doubt: there or not.
        ([call(stored=0, unknown=3)], [], {}),
        ([call(stored=0, unknown=3)], [ran(0), ran(1), ran(2)], {}),
        # Refused.
        ([call(stored=0)], [], {}),
        # Raised on purpose, and run again.
        ([call()], [ran(0), ran(1), ran(2, raised=True), ran(2, start_s=4, attempt=2)], {}),
        (
            [call(n=1, stored=1, kind="doomed")],
            [ran(0, raised=True), ran(0, start_s=4, attempt=2, raised=True)],
            {"ended": {0: Ended("failed", ("Planned", "Planned"))}},
        ),
        # Its record was made at a full server.
        (
            [call(n=1, stored=1, kind="doomed")],
            [ran(0, raised=True), ran(0, start_s=4, attempt=2, raised=True)],
            {"ended": {0: Ended("failed", ("Planned",))}},
        ),
        ([call()], [ran(0), ran(1)], {"ended": {2: Ended("cancelled")}, "cancel_asked": {2}}),
    ],
)
def test_the_verdict_lets_pass_what_is_right(calls, runs, evidence):
    assert judged(calls, runs, **evidence).problems == []


def killed(pid: int, at_s: float, *, settled: bool) -> Hurt:
    at_ns = int(at_s * _SECOND)
    return Hurt("killed", at_ns, at_ns, frozenset([pid]), deadly=True, settled_by_supervisor=settled)


def test_a_kill_explains_what_its_process_was_running():
    runs = [ran(0), ran(1), ran(2, ended=False), ran(2, pid=8, start_s=5)]
    verdict = judged([call()], runs, hurts=[killed(7, 4.0, settled=True)])
    assert verdict.problems == []
    assert (verdict.duplicates, verdict.bound) == (1, 1)


def test_a_kill_explains_nothing_that_others_ran():
    runs = [ran(0), ran(1), ran(2, pid=9, ended=False), ran(2, pid=8, start_s=5)]
    assert judged([call()], runs, hurts=[killed(7, 4.0, settled=True)]).problems


def test_more_than_one_job_per_thread_is_too_much_when_the_supervisor_lives():
    runs = [ran(key, start_s=3.99, ended=False) for key in range(3)] + [ran(key, pid=8, start_s=5) for key in range(3)]
    (problem,) = judged([call()], runs, hurts=[killed(7, 4.0, settled=True)]).problems
    assert problem == "3 runs too many, the faults explain 1"


def test_a_whole_worker_that_dies_takes_what_it_had_not_reported_along_and_no_more():
    runs = [ran(0, start_s=3.95), ran(1, start_s=3.0), ran(2, start_s=3.0)]
    again = [ran(0, pid=9, start_s=5.0)]
    hurts = [killed(7, 4.0, settled=False)]
    verdict = judged([call()], runs + again, hurts=hurts)
    assert (verdict.problems, verdict.duplicates, verdict.bound) == ([], 1, 2)


def test_a_worker_cut_off_beyond_its_lease_may_lose_it_and_one_cut_off_shortly_may_not():
    runs = [ran(0), ran(1), ran(2), ran(2, pid=9, start_s=4.5)]

    def cut_off(seconds: float) -> Hurt:
        return Hurt("cut off", int(2.9 * _SECOND), int((2.9 + seconds) * _SECOND), frozenset([7]))

    assert judged([call()], runs, hurts=[cut_off(1.5)]).problems == []
    assert judged([call()], runs, hurts=[cut_off(0.3)]).problems


def taken_over(began_s: float, ended_s: float, *, outlived: bool = False) -> Hurt:
    """Another server took over from the one that failed."""
    hurt = Hurt("a promotion", int(began_s * _SECOND), int(ended_s * _SECOND), promotes=True, outlived=outlived)
    hurt.partitions = frozenset(["alpha"])
    return hurt


def test_what_fire_lost_to_a_promotion_is_counted_and_nothing_else_may_be_lost():
    runs = [ran(0, start_s=1.5), ran(1, start_s=1.5)]
    around = taken_over(2.5, 9.0)
    verdict = judged([call()], runs, hurts=[around])
    assert (verdict.problems, verdict.exposed, verdict.lost) == ([], 3, 1)
    assert judged([call(durability="replicated")], runs, hurts=[around]).problems
    # Long before, or after the new one had taken over, nothing is excused.
    assert judged([call()], runs, hurts=[taken_over(3.5, 9.0)]).problems
    assert judged([call()], runs, hurts=[taken_over(0.5, 9.0)]).problems


def test_a_server_that_lives_on_may_lose_what_it_confirms_until_it_is_demoted():
    runs = [ran(0, start_s=1.5), ran(1, start_s=1.5)]
    assert judged([call()], runs, hurts=[taken_over(0.5, 1.5, outlived=True)]).problems == []
    assert judged([call()], runs, hurts=[taken_over(0.5, 0.9, outlived=True)]).problems


def test_a_job_that_was_lost_while_it_ran_is_lost_by_fire_and_never_ended_otherwise():
    runs = [ran(0, start_s=2.1), ran(1, start_s=2.1), ran(2, start_s=2.1, ended=False)]
    verdict = judged([call()], runs, hurts=[taken_over(2.5, 9.0)])
    assert (verdict.problems, verdict.lost) == ([], 1)
    assert judged([call(durability="replicated")], runs, hurts=[taken_over(2.5, 9.0)]).problems
    in_doubt = call(durability="replicated", stored=0, unknown=3)
    assert judged([in_doubt], runs, hurts=[taken_over(2.5, 9.0)]).problems == []
    assert judged([in_doubt], runs).problems


def test_a_promotion_explains_runs_that_ended_around_it_and_none_before():
    def repeated(ended_s: float) -> Verdict:
        runs = [ran(0, start_s=ended_s), ran(1), ran(2), ran(0, pid=9, start_s=8.0)]
        return judged([call()], runs, hurts=[taken_over(6.0, 7.0)])

    assert repeated(5.5).problems == []
    assert repeated(4.0).problems


def test_a_cancellation_may_be_forgotten_by_a_promotion_around_it_only():
    runs = [ran(0), ran(1), ran(2, start_s=6.0)]
    cancelled = {"cancelled_ns": {2: 3 * _SECOND}, "cancel_asked": {2}}
    assert judged([call()], runs, hurts=[taken_over(3.5, 5.0)], **cancelled).problems == []
    assert judged([call()], runs, hurts=[taken_over(4.5, 5.0)], **cancelled).problems


def test_the_time_to_the_next_accepted_call_is_measured_in_the_partitions_concerned():
    def single(first: int, began_s: float, partition: str) -> Call:
        began_ns = int(began_s * _SECOND)
        return call(first=first, n=1, stored=1, began_ns=began_ns, ended_ns=began_ns + 1000, partition=partition)

    calls = [single(0, 3.5, "beta"), single(1, 2.0, "alpha"), single(2, 4.0, "alpha")]
    runs = [ran(key, start_s=5.0) for key in range(3)]
    verdict = judged(calls, runs, hurts=[taken_over(3.0, 9.0)])
    assert verdict.resumptions_s == {"fire": [pytest.approx(1.0, abs=0.001)]}


def test_the_count_of_the_calm_run_finds_what_is_missing_repeated_or_foreign(tmp_path):
    file = tmp_path / "numbers"
    file.write_bytes(b"".join(number.to_bytes(4, "little") for number in (0, 1, 1, 3, 9)))
    assert count_runs(file, 4) == (1, 1, 1)
    file.write_bytes(b"".join(number.to_bytes(4, "little") for number in (3, 2, 1, 0)))
    assert count_runs(file, 4) == (0, 0, 0)
