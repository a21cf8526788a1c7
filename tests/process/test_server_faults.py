"""Faults of the server: none of them costs a job or runs one twice, with whole workers."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import redis

from fastjobs import EnqueueUnknown, FastJobs, NotEnqueued
from fastjobs.store.keys import queue_keys
from tests.harness.disk import SmallDisk
from tests.harness.faults import each_ran_once, kill_connections, made_lab
from tests.harness.snapshot import check_invariants, take_snapshot
from tests.harness.worker import Lab

# The server exits, loads, or has lost everything.


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_a_server_killed_for_longer_than_the_lease_loses_and_requeues_nothing(namespace, tmp_path, fsync):
    """Fault B1."""
    with made_lab(namespace, tmp_path, "--appendfsync", fsync, lease_ms=800) as lab:
        lab.jobs.hold.enqueue_many([(f"held-{key}", str(lab.gate())) for key in range(4)])
        worker = lab.worker("-p", "2", "-c", "2").wait_ready(2)
        lab.wait_started(*(f"held-{key}" for key in range(4)))
        lab.jobs.note.enqueue_many(range(500))
        lab.jobs.note.options(delay=0.5).enqueue("later")
        lab.server.kill()
        # Time itself is what this waits for: the lease.
        time.sleep(2 * lab.lease_ms / 1000)
        lab.server.start()
        worker.wait_for_log("server available again")
        time.sleep(2 * lab.lease_ms / 1000)
        lab.gate().touch()
        lab.wait(lambda: lab.counts() == {"finished": 505}, "everything has run")
        assert set(lab.ledger.counts("START").values()) == {1}
        assert lab.field("redelivered_total") == 0
        assert worker.stop() == 0
        assert "lease lost" not in worker.log


FORGETFUL_APP = """
from fastjobs import FastJobs
from tests.apps.handlers import note as write
app = FastJobs()
@app.job
def tick():
    write("tick")
@app.job
def note(key):
    write(key)
@app.on_worker_start
def define(worker):
    tick.every(0.2, id="tick").store()
"""


def test_workers_start_over_when_a_server_without_persistence_is_back(namespace, tmp_path):
    """Fault B2."""
    (tmp_path / "forgetful.py").write_text(FORGETFUL_APP)
    with made_lab(namespace, tmp_path, "--appendonly", "no") as lab:
        lab.jobs.hold.enqueue_many([(f"gone-{key}", "never") for key in range(5)])
        worker = lab.worker("-Q", "default,other", app="forgetful.py").wait_ready()
        lab.wait_ended("tick")
        lab.server.kill()
        lab.server.start()
        assert lab.counts() == {}
        worker.wait_for_log("lease lost, its jobs will run elsewhere")
        ticks = lab.ledger.count("END", "tick")
        lab.jobs.note.enqueue_many(range(20))
        lab.wait_ended(*range(20))
        lab.wait(lambda: lab.ledger.count("END", "tick") > ticks, "the recurring job is defined again and runs")
        assert worker.stop() == 0
        assert "Traceback" not in worker.log
        check_invariants(take_snapshot(lab.redis, queue_keys(lab.namespace, "default")))


def is_loading(lab: Lab) -> bool:
    try:
        with lab.server.client() as client:
            client.ping()
    except redis.exceptions.BusyLoadingError:
        return True
    except redis.RedisError:
        return False
    return False


def test_workers_wait_for_a_server_that_is_loading_its_data(namespace, tmp_path):
    """Fault B13."""
    with made_lab(namespace, tmp_path) as lab:
        worker = lab.worker().wait_ready()
        lab.jobs.note.enqueue("first")
        lab.wait_ended("first")
        # It looks after its clients once in a thousand commands.
        for number in range(5000):
            lab.redis.set("ballast", number)
        lab.server.kill()
        slowly = ("--key-load-delay", "700", "--loading-process-events-interval-bytes", "1024")
        starting = threading.Thread(target=lab.server.start, args=slowly)
        starting.start()
        try:
            lab.wait(lambda: is_loading(lab), "the server loads its data")
            lab.jobs.note.enqueue_many(range(50))
        finally:
            starting.join()
        lab.wait_ended(*range(50))
        each_ran_once(lab, "first", *range(50))
        assert worker.stop() == 0


def test_workers_go_on_after_the_server_was_flushed(namespace, tmp_path):
    """Fault B24."""
    with made_lab(namespace, tmp_path) as lab:
        lab.jobs.hold.enqueue_many([(f"held-{key}", str(lab.gate())) for key in range(4)])
        worker = lab.worker("-p", "2", "-c", "1").wait_ready(2)
        lab.wait_started("held-0", "held-1")
        lab.redis.flushall()
        worker.wait_for_log("lease lost, its jobs will run elsewhere")
        lab.gate().touch()
        worker.wait_ready(4)
        lab.jobs.note.enqueue_many(range(50))
        lab.wait(lambda: lab.counts() == {"finished": 50}, "what came afterwards has run")
        each_ran_once(lab, *range(50))
        assert worker.stop() == 0
        assert "Traceback" not in worker.log
        check_invariants(take_snapshot(lab.redis, queue_keys(lab.namespace, "default")))


# The server is busy, refuses clients, or takes rights away.


def run_for_ever(client: redis.Redis) -> None:
    """Until somebody kills the script."""
    with pytest.raises(redis.RedisError):
        client.eval("while true do end", 0)


def test_workers_wait_for_a_script_that_does_not_end(namespace, tmp_path):
    """Fault B12."""
    with made_lab(namespace, tmp_path, "--lua-time-limit", "50", lease_ms=600) as lab:
        lab.jobs.hold.enqueue("held", str(lab.gate()))
        worker = lab.worker("-c", "2").wait_ready()
        lab.wait_started("held")
        with lab.server.client() as tenant:
            busy = threading.Thread(target=run_for_ever, args=(tenant,))
            busy.start()
            worker.wait_for_log("server unavailable.*BUSY")
            # Time itself is what this waits for: the lease.
            time.sleep(2 * lab.lease_ms / 1000)
            lab.redis.script_kill()
            busy.join()
        lab.jobs.note.enqueue_many(range(50))
        lab.wait_ended(*range(50))
        time.sleep(2 * lab.lease_ms / 1000)
        lab.gate().touch()
        lab.wait(lambda: lab.counts() == {"finished": 51}, "everything has run")
        assert set(lab.ledger.counts("START").values()) == {1}
        assert worker.stop() == 0
        assert "lease lost" not in worker.log


def test_workers_wait_for_a_server_with_too_many_clients(namespace, tmp_path):
    """Fault B28."""
    with made_lab(namespace, tmp_path, lease_ms=10_000) as lab:
        worker = lab.worker("-p", "2").wait_ready(2)
        lab.redis.config_set("maxclients", 1)
        kill_connections(lab)
        worker.wait_for_log("server unavailable.*max number of clients")
        before = lab.redis.info("stats")["rejected_connections"]
        # Time itself is what this waits for: nobody tries without a pause.
        time.sleep(1)
        assert lab.redis.info("stats")["rejected_connections"] - before < 100
        lab.redis.config_set("maxclients", 1000)
        lab.jobs.note.enqueue_many(range(50))
        lab.wait_ended(*range(50))
        each_ran_once(lab, *range(50))
        assert worker.stop() == 0


@pytest.mark.parametrize(
    ("taken", "given", "told"),
    [
        (("off",), ("on",), "server unavailable.*(WRONGPASS|invalid username-password|disabled)"),
        (("-evalsha",), ("+evalsha",), "server unavailable.*(NOPERM|permission)"),
    ],
    ids=["user", "command"],
)
def test_revoked_rights_are_logged_and_workers_wait_until_they_are_back(namespace, tmp_path, taken, given, told):
    """Fault B29."""
    with made_lab(namespace, tmp_path, lease_ms=10_000) as lab:
        lab.redis.execute_command("ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all")
        url = f"unix://worker:secret@{lab.server.socket}"
        worker = lab.worker("-p", "2", env={"FASTJOBS_URL": url}).wait_ready(2)
        lab.jobs.note.enqueue("first")
        lab.wait_ended("first")
        lab.redis.execute_command("ACL", "SETUSER", "worker", *taken)
        lab.redis.execute_command("CLIENT", "KILL", "USER", "worker")
        lab.jobs.note.enqueue_many(range(50))
        worker.wait_for_log(told)
        before = lab.redis.info("stats")["total_commands_processed"]
        # Time itself is what this waits for: nobody tries without a pause.
        time.sleep(1)
        assert lab.redis.info("stats")["total_commands_processed"] - before < 2000
        lab.redis.execute_command("ACL", "SETUSER", "worker", *given)
        lab.wait_ended(*range(50))
        each_ran_once(lab, *range(50))
        assert worker.stop() == 0
        assert "secret" not in worker.log
        assert "Traceback" not in worker.log


# Memory and disk.


def test_a_full_server_refuses_new_jobs_and_can_be_drained(namespace, tmp_path):
    """Fault B14."""
    with made_lab(namespace, tmp_path) as lab:
        lab.jobs.note.enqueue_many(range(300))
        lab.jobs.fail_number.enqueue_many((f"fails-{key}", 1) for key in range(20))
        lab.jobs.explode.enqueue_many(["Exception"] * 5)
        lab.redis.config_set("maxmemory", 1)
        with pytest.raises(NotEnqueued, match="OOM"):
            lab.jobs.note.enqueue("refused")
        worker = lab.worker("-p", "2").wait_ready(2)
        lab.wait(lambda: lab.counts() == {"finished": 320, "failed": 5}, "the server is drained")
        with pytest.raises(NotEnqueued):
            lab.jobs.note.enqueue("refused")
        lab.redis.config_set("maxmemory", 0)
        lab.jobs.note.enqueue("taken")
        lab.wait_ended("taken")
        assert worker.stop() == 0
        assert lab.ledger.count("START", "refused") == 0
        each_ran_once(lab, "taken", *range(300))


def enqueue_until_refused(lab: Lab) -> list[str]:
    """Returns the keys of the jobs that were taken until the server noticed that its disk is full."""
    taken: list[str] = []
    with pytest.raises(NotEnqueued, match="MISCONF"):
        for number in range(10_000):
            lab.jobs.note.enqueue(f"taken-{number}")
            taken.append(f"taken-{number}")
    return taken


def is_taken(lab: Lab, key: str) -> bool:
    try:
        lab.jobs.note.enqueue(key)
    except NotEnqueued:
        return False
    return True


def test_a_full_disk_refuses_new_jobs_until_there_is_room_again(namespace, tmp_path):
    """Fault B16."""
    with SmallDisk(4) as disk, made_lab(namespace, tmp_path, "--dir", str(disk.path)) as lab:
        worker = lab.worker("-p", "2").wait_ready(2)
        lab.jobs.note.enqueue_many(range(100))
        lab.wait_ended(*range(100))
        disk.fill()
        taken = enqueue_until_refused(lab)
        worker.wait_for_log("server unavailable.*MISCONF")
        with pytest.raises(NotEnqueued):
            lab.jobs.note.enqueue("refused")
        disk.make_room()
        # The server tries its disk again once a second.
        lab.wait(lambda: is_taken(lab, "afterwards"), "jobs are taken again")
        lab.wait_ended(*taken)
        lab.wait_ended("afterwards")
        lab.wait(lambda: lab.counts() == {"finished": 101 + len(taken)}, "everything is reported")
        assert lab.ledger.count("START", "refused") == 0
        each_ran_once(lab, "afterwards", *range(100), *taken)
        assert worker.stop() == 0
        assert "Traceback" not in worker.log


def test_a_job_is_in_doubt_when_the_server_exits_on_a_full_disk(namespace, tmp_path):
    """Fault B17."""
    options = ("--appendfsync", "always")
    with SmallDisk(4) as disk, made_lab(namespace, tmp_path, "--dir", str(disk.path), *options) as lab:
        lab.jobs.note.enqueue("first")
        disk.fill()
        hasty = FastJobs(lab.server.url, namespace=namespace, retry_budget_s=0.5)
        note = hasty.job(name="note")(print)
        with pytest.raises((EnqueueUnknown, NotEnqueued)):
            for _ in range(10_000):
                note.options(job_id="in-doubt").enqueue("in-doubt")
                note.enqueue("more")
        lab.server.wait_dead()
        disk.make_room()
        lab.server.kill()
        lab.server.start()
        for _ in range(2):
            note.options(job_id="in-doubt").enqueue("in-doubt")
        lab.burst()
        each_ran_once(lab, "first", "in-doubt")
        hasty.close()


@pytest.mark.parametrize("cut", [1, 7, 100, 1000])
def test_a_truncated_log_loses_whole_steps_and_breaks_nothing(namespace, tmp_path, cut):
    """Fault B18."""
    with made_lab(namespace, tmp_path) as lab:
        lab.jobs.note.enqueue_many(range(200))
        lab.jobs.fail_number.enqueue_many((f"fails-{key}", 1) for key in range(10))
        lab.burst()
        lab.jobs.note.options(job_id="last").enqueue("last")
        lab.server.kill()
        (log,) = Path(lab.server.directory).glob("appendonlydir/*.incr.aof")
        size = log.stat().st_size
        with log.open("ab") as file:
            file.truncate(size - cut)
        lab.server.start()
        snapshot = take_snapshot(lab.redis, queue_keys(lab.namespace, "default"))
        check_invariants(snapshot)
        # What was lost is asked for again; what was not is the same job.
        lab.jobs.note.options(job_id="last").enqueue("last")
        lab.burst()
        assert lab.ledger.count("END", "last") == 1
        assert not {"queued", "executing", "scheduled", "retrying"} & lab.counts().keys()
