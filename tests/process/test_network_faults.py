"""Faults of connections: none of them costs a job or runs one twice, with whole workers."""

from __future__ import annotations

import time

import pytest

from tests.harness.faults import each_ran_once, kill_connections, lined_worker, made_lab, repeated
from tests.harness.proxy import Behaviour, Proxy
from tests.harness.worker import run_for, tracebacks


def test_lost_replies_cost_nothing_and_repeat_nothing(namespace, tmp_path):
    """Faults B5 and B6."""
    with made_lab(namespace, tmp_path, lease_ms=10_000) as lab, lined_worker(lab) as (worker, proxy):
        jobs = fails = 0
        # Often, and yet so that what is sent again has a chance.
        with repeated(proxy.swallow_one_reply, 0.3):
            while proxy.harmed < 12:
                lab.jobs.note.enqueue_many(range(jobs, jobs + 50))
                lab.jobs.fail_number.enqueue(f"fails-{fails}", 1)
                jobs, fails = jobs + 50, fails + 1
                lab.wait_ended(jobs - 1)
        lab.wait(lambda: lab.counts() == {"finished": jobs + fails + 1}, "everything has run")
        each_ran_once(lab, *range(jobs))
        assert {lab.ledger.counts("START")[f"fails-{key}"] for key in range(fails)} == {2}
        assert lab.field("finished_total") == jobs + fails + 1
        assert lab.field("retried_total") == fails
        assert lab.field("redelivered_total") == 0
        assert worker.stop() == 0
        assert "possible duplicates" not in worker.log


@pytest.mark.parametrize("keys", ["", "signing_keys"])
@pytest.mark.parametrize("taken", [True, False])
def test_a_report_taken_before_its_reply_was_lost_is_no_possible_duplicate(namespace, tmp_path, taken, keys):
    """Fault B6."""
    with made_lab(namespace, tmp_path, lease_ms=10_000) as lab:
        if keys:
            lab.settings[f"FASTJOBS_{keys.upper()}"] = "k:" + "A" * 43 + "="
        with lined_worker(lab) as (worker, proxy):
            lab.jobs.hold.enqueue("held", str(lab.gate()))
            lab.jobs.fail_default.enqueue("fails", 0)
            lab.jobs.fail_list.enqueue("raises", 1)
            lab.wait(lambda: lab.counts() == {"executing": 1, "finished": 3}, "one job is running")
            lab.jobs.explode.options(priority=5).enqueue("Exception")
            lab.wait(lambda: lab.counts().get("failed") == 1, "one job has failed")
            proxy.behave(Behaviour.BLACKHOLE if taken else Behaviour.REFUSE)
            lab.gate().touch()
            lab.wait_ended("held")
            if taken:
                lab.wait(lambda: lab.counts() == {"finished": 4, "failed": 1}, "the report is taken")
            sessions = lab.key("sessions")
            lab.redis.zremrangebyrank(sessions, 0, -1)
            proxy.heal()
            worker.wait_for_log("lease lost")
            lab.wait(lambda: lab.redis.zcard(sessions) == 2, "new processes have begun")
            assert worker.stop() == 0
            assert ("possible duplicates jobs=1" in worker.log) != taken
            assert not tracebacks(worker.log)


def test_a_connection_that_swallows_everything_is_replaced(namespace, tmp_path):
    """Fault B7."""
    with made_lab(namespace, tmp_path, lease_ms=10_000) as lab, lined_worker(lab) as (worker, proxy):
        proxy.behave(Behaviour.BLACKHOLE)
        lab.jobs.note.enqueue_many(range(200))
        worker.wait_for_log("server unavailable, retrying")
        proxy.heal()
        lab.wait(lambda: lab.counts() == {"finished": 201}, "everything has run")
        each_ran_once(lab, *range(200))
        assert worker.stop() == 0
        assert "lease lost" not in worker.log


def test_a_worker_cut_off_for_longer_than_its_lease_is_fenced(namespace, tmp_path):
    """Fault B7."""
    with made_lab(namespace, tmp_path, lease_ms=600) as lab, lined_worker(lab) as (worker, proxy):
        lab.jobs.hold.enqueue("held", str(lab.gate()))
        lab.wait_started("held")
        other = lab.worker().wait_ready()
        proxy.behave(Behaviour.BLACKHOLE)
        lab.wait(lambda: lab.ledger.count("START", "held") == 2, "the other worker has taken the job over")
        lab.gate().touch()
        lab.wait(lambda: lab.counts() == {"finished": 2}, "it has run")
        proxy.heal()
        worker.wait_for_log("lease lost, its jobs will run elsewhere")
        lab.jobs.note.enqueue_many(range(50))
        lab.wait_ended(*range(50))
        each_ran_once(lab, *range(50))
        assert lab.field("finished_total") == 52
        assert (worker.stop(), other.stop()) == (0, 0)


@pytest.mark.parametrize(
    "behaviour", [Behaviour.RESET, Behaviour.HALF_CLOSE, Behaviour.GARBLE, Behaviour.CUT_BEFORE_REQUEST]
)
def test_broken_connections_cost_nothing_and_repeat_nothing(namespace, tmp_path, behaviour):
    """Fault B8."""
    with made_lab(namespace, tmp_path, lease_ms=10_000) as lab, lined_worker(lab, tcp=True) as (worker, proxy):
        jobs = 0
        with repeated(lambda: proxy.behave(behaviour, 1), 0.3):
            while proxy.harmed < 8:
                lab.jobs.note.enqueue_many(range(jobs, jobs + 50))
                jobs += 50
                lab.wait_ended(jobs - 1)
        lab.wait(lambda: lab.counts() == {"finished": jobs + 1}, "everything is reported")
        each_ran_once(lab, *range(jobs))
        assert worker.stop() == 0
        assert not tracebacks(worker.log)


def test_replies_that_arrive_byte_by_byte_are_read(namespace, tmp_path):
    """Fault B8."""
    with made_lab(namespace, tmp_path, lease_ms=10_000) as lab, lined_worker(lab) as (worker, proxy):
        proxy.behave(Behaviour.DRIP)
        lab.jobs.note.enqueue_many(range(300))
        lab.wait(lambda: lab.counts() == {"finished": 301}, "everything has run")
        each_ran_once(lab, *range(300))
        assert proxy.harmed > 3
        assert worker.stop() == 0


def test_a_slow_connection_costs_time_but_no_lease(namespace, tmp_path):
    """Fault B9."""
    with made_lab(namespace, tmp_path) as lab, Proxy(lab.server.socket) as proxy:
        proxy.delay_replies(0.2)
        worker = lab.worker("-p", "2", env={"FASTJOBS_URL": proxy.url}).wait_ready(2)
        other = lab.worker().wait_ready()
        lab.jobs.hold.enqueue_many([(f"held-{key}", str(lab.gate())) for key in range(3)])
        lab.wait_started("held-0", "held-1", "held-2")
        lab.jobs.note.enqueue_many(range(100))
        # Time itself is what this waits for: the lease.
        time.sleep(2 * lab.lease_ms / 1000)
        lab.gate().touch()
        lab.wait(lambda: lab.counts() == {"finished": 103}, "everything has run")
        assert set(lab.ledger.counts("START").values()) == {1}
        assert lab.field("redelivered_total") == 0
        assert (worker.stop(), other.stop()) == (0, 0)
        assert "lease lost" not in worker.log


@pytest.mark.parametrize(
    "harm", [kill_connections, lambda lab: lab.redis.script_flush()], ids=["connections", "scripts"]
)
def test_connections_killed_or_scripts_flushed_every_50_ms_cost_nothing(namespace, tmp_path, harm):
    """Faults B10 and B11."""
    with made_lab(namespace, tmp_path, lease_ms=10_000) as lab:
        worker = lab.worker("-p", "2", "-c", "2").wait_ready(2)
        number = 0

        def enqueue_some() -> None:
            nonlocal number
            lab.jobs.note.enqueue_many(range(number, number + 20))
            lab.jobs.fail_number.options(retries=1).enqueue(f"fails-{number}", 1)
            number += 20

        with repeated(lambda: harm(lab), 0.05):
            run_for(3, enqueue_some, 0.03)
        lab.wait(lambda: lab.counts() == {"finished": number + number // 20}, "everything has run")
        each_ran_once(lab, *range(number))
        assert {lab.ledger.counts("START")[f"fails-{first}"] for first in range(0, number, 20)} == {2}
        assert worker.stop() == 0
        assert not tracebacks(worker.log)
