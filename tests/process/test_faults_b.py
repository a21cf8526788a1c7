"""Faults of the server and of the network, by their number in tests/faults.md: those that no other test is about.

Each with a whole worker: none of these faults costs a job or runs one twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from fastjobs import EnqueueUnknown, FastJobs, NotEnqueued
from fastjobs.store.keys import queue_keys
from tests.harness.disk import SmallDisk
from tests.harness.proxy import Behaviour, Proxy
from tests.harness.server import ServerProcess
from tests.harness.snapshot import check_invariants, take_snapshot
from tests.harness.worker import Lab, Worker, run_for

#: Shorter than most faults here: what they do must not look like the death of a process.
LEASE_MS = 1500
#: A worker gives a reply up after this long.
TIMEOUT_S = "0.3"


@contextmanager
def made_lab(namespace: str, directory: Path, *server_options: str, lease_ms: int = LEASE_MS) -> Iterator[Lab]:
    with ServerProcess(*server_options) as process:
        lab = Lab(process, namespace, directory, lease_ms)
        try:
            yield lab
        finally:
            lab.close()


@contextmanager
def lined_worker(lab: Lab, *, tcp: bool = False) -> Iterator[tuple[Worker, Proxy]]:
    """A worker behind a proxy, that has run a job."""
    with Proxy(lab.server.socket, tcp=tcp) as proxy:
        environment = {"FASTJOBS_URL": proxy.url, "FASTJOBS_SOCKET_TIMEOUT_S": TIMEOUT_S}
        worker = lab.worker("-p", "2", "-c", "2", env=environment).wait_ready(2)
        lab.jobs.note.enqueue("first")
        lab.wait_ended("first")
        yield worker, proxy
        proxy.heal()
        proxy.delay_replies(0)
        worker.close()


@contextmanager
def repeated(step: Callable[[], object], every_s: float) -> Iterator[None]:
    """Repeats a step in a thread while the block lasts."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(every_s):
            step()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def each_ran_once(lab: Lab, *keys: str | int) -> None:
    counts = lab.ledger.counts("START")
    assert {key: counts[str(key)] for key in keys} == dict.fromkeys(keys, 1)


# The server ends, loads, lost everything.


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_b1_a_server_killed_for_longer_than_the_lease_loses_and_requeues_nothing(namespace, tmp_path, fsync):
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
    tick.every(0.2, id="tick")
"""


def test_b2_after_a_server_without_persistence_died_workers_begin_anew(namespace, tmp_path):
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


def test_b13_a_server_that_loads_its_data_is_waited_for(namespace, tmp_path):
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


def test_b24_a_server_that_is_flushed_in_the_middle_is_worked_on_again(namespace, tmp_path):
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


# The line.


def test_b5_b6_replies_lost_all_the_time_cost_nothing_and_repeat_nothing(namespace, tmp_path):
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
def test_b6_a_report_that_was_taken_before_its_reply_was_lost_is_no_possible_duplicate(
    namespace, tmp_path, taken, keys
):
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
            assert "Traceback" not in worker.log


def test_b7_a_line_that_swallows_everything_is_given_up_and_made_anew(namespace, tmp_path):
    with made_lab(namespace, tmp_path, lease_ms=10_000) as lab, lined_worker(lab) as (worker, proxy):
        proxy.behave(Behaviour.BLACKHOLE)
        lab.jobs.note.enqueue_many(range(200))
        worker.wait_for_log("server unavailable, retrying")
        proxy.heal()
        lab.wait(lambda: lab.counts() == {"finished": 201}, "everything has run")
        each_ran_once(lab, *range(200))
        assert worker.stop() == 0
        assert "lease lost" not in worker.log


def test_b7_a_line_that_swallows_everything_for_longer_than_the_lease_fences_its_worker(namespace, tmp_path):
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
def test_b8_a_line_that_breaks_in_every_way_costs_nothing_and_repeats_nothing(namespace, tmp_path, behaviour):
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
        assert "Traceback" not in worker.log


def test_b8_replies_that_come_byte_by_byte_are_read(namespace, tmp_path):
    with made_lab(namespace, tmp_path, lease_ms=10_000) as lab, lined_worker(lab) as (worker, proxy):
        proxy.behave(Behaviour.DRIP)
        lab.jobs.note.enqueue_many(range(300))
        lab.wait(lambda: lab.counts() == {"finished": 301}, "everything has run")
        each_ran_once(lab, *range(300))
        assert proxy.harmed > 3
        assert worker.stop() == 0


def test_b9_a_slow_line_costs_time_and_no_lease(namespace, tmp_path):
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


# What others do to the server.


def kill_connections(lab: Lab) -> None:
    lab.redis.client_kill_filter(_type="normal", skipme=True)


@pytest.mark.parametrize("harm", [kill_connections, lambda lab: lab.redis.script_flush()], ids=["b10", "b11"])
def test_b10_b11_connections_killed_and_scripts_flushed_every_50_ms_cost_nothing(namespace, tmp_path, harm):
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
        assert "Traceback" not in worker.log


def run_for_ever(client: redis.Redis) -> None:
    """Until somebody kills the script."""
    with pytest.raises(redis.RedisError):
        client.eval("while true do end", 0)


def test_b12_a_script_that_does_not_end_is_waited_for(namespace, tmp_path):
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


def test_b28_a_server_with_too_many_clients_is_waited_for(namespace, tmp_path):
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
def test_b29_rights_that_are_taken_are_told_and_their_return_waited_for(namespace, tmp_path, taken, given, told):
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


def test_b14_a_full_server_refuses_new_jobs_and_is_drained_of_those_it_has(namespace, tmp_path):
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


def test_b16_a_full_disk_refuses_new_jobs_and_room_is_all_that_is_needed(namespace, tmp_path):
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


def test_b17_a_server_that_ends_because_its_disk_is_full_is_in_doubt_until_it_is_back(namespace, tmp_path):
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
def test_b18_a_log_that_was_cut_off_loses_whole_steps_and_breaks_nothing(namespace, tmp_path, cut):
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


# Clocks.

WRONG_CLOCK = """
import time
right, right_ns = time.time, time.time_ns
time.time = lambda: right() + {seconds}
time.time_ns = lambda: right_ns() + {seconds} * 10**9
"""


@pytest.mark.parametrize("seconds", [86_400, -86_400])
def test_b27_a_worker_whose_clock_is_a_day_off_keeps_leases_and_delays(namespace, tmp_path, seconds):
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "sitecustomize.py").write_text(WRONG_CLOCK.format(seconds=seconds))
    root = Path(__file__).parents[2]
    with made_lab(namespace, tmp_path, lease_ms=600) as lab:
        lab.jobs.hold.enqueue("held", str(lab.gate()))
        worker = lab.worker("-c", "2", env={"PYTHONPATH": f"{wrong}:{root}"}).wait_ready()
        lab.wait_started("held")
        other = lab.worker().wait_ready()
        lab.jobs.fail_list.enqueue("retried", 2)
        lab.jobs.note.options(delay=0.3).enqueue("delayed")
        lab.jobs.note.options(delay=3600).enqueue("far")
        lab.wait_ended("retried", "delayed")
        # Time itself is what this waits for: the lease.
        time.sleep(2 * lab.lease_ms / 1000)
        lab.gate().touch()
        lab.wait(lambda: lab.counts() == {"finished": 3, "scheduled": 1}, "all but the last have run")
        assert lab.ledger.counts("START") == {"held": 1, "retried": 3, "delayed": 1}
        assert (worker.stop(), other.stop()) == (0, 0)
        assert "lease lost" not in worker.log
