"""Deaths and freezes of every part: nothing is lost, nothing runs twice that need not, the guilty are named."""

from __future__ import annotations

import os
import re
import signal
import time

import psutil
import pytest

from fastjobs import Status
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until
from tests.harness.worker import PATIENCE_S, Lab, Worker

#: A lease that does not run out during a test: what comes back sooner was recovered, not reclaimed.
LONG_LEASE_MS = 600_000
#: Beats of such a lease are far apart; for tests that need them.
SHORT_LEASE_MS = 400


@pytest.fixture
def long_lab(server: ServerProcess, namespace: str, tmp_path):
    """A lab in which no lease ever runs out."""
    made = Lab(server, namespace, tmp_path, LONG_LEASE_MS)
    yield made
    made.close()


@pytest.fixture
def short_lab(server: ServerProcess, namespace: str, tmp_path):
    made = Lab(server, namespace, tmp_path, SHORT_LEASE_MS)
    yield made
    made.close()


def freeze(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


def thaw(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def let_leases_pass(lab: Lab, number: float = 2) -> None:
    """Time itself is what this waits for: there is no other condition."""
    time.sleep(number * lab.lease_ms / 1000)


def ready_child(worker: Worker) -> int:
    (child,) = worker.wait_ready().children()
    return child


# A process dies.


def test_a_killed_processs_job_is_charged_once_and_runs_again(long_lab):
    lab = long_lab
    lab.jobs.note.enqueue_many(range(5))
    job = lab.jobs.crash_once.enqueue("killer", str(lab.gate("flag")))
    lab.jobs.note.enqueue_many(range(5, 10))
    log = lab.burst().log
    assert lab.ledger.counts("START") == {"killer": 2, **{str(key): 1 for key in range(10)}}
    assert lab.counts() == {"finished": 11}
    assert job.refresh().status == Status.FINISHED
    assert [(error.type, error.message) for error in job.errors] == [
        ("WorkerCrashed", "the process that ran the job was killed by SIGKILL")
    ]
    assert "Traceback" not in log
    assert lab.field("redelivered_total") == 0


def test_jobs_that_finished_before_their_process_died_do_not_run_again(long_lab):
    lab = long_lab
    ids = lab.jobs.note.enqueue_many(range(300))
    lab.jobs.crash_once.enqueue("killer", str(lab.gate("flag")))
    lab.burst()
    assert lab.ledger.counts("END") == {"killer": 1, **{str(key): 1 for key in range(300)}}
    job = lab.app.jobs.find(ids[299])
    assert (job.status, job.attempts) == (Status.FINISHED, 0)
    assert job.duration is not None


def test_a_process_killed_from_outside_costs_its_running_jobs_a_crash_and_no_more(long_lab):
    lab = long_lab
    held = [lab.jobs.hold.enqueue(key, str(lab.gate())) for key in ("one", "two")]
    others = lab.jobs.note.enqueue_many(range(50))
    worker = lab.worker("-c", "2")
    child = ready_child(worker)
    lab.wait_started("one", "two")
    os.kill(child, signal.SIGKILL)
    worker.wait_for_log("settled jobs of a dead process")
    lab.gate().touch()
    lab.wait(lambda: lab.counts() == {"finished": 52}, "everything has run")
    assert [len(job.refresh().errors) for job in held] == [1, 1]
    assert [lab.app.jobs.find(job_id).errors for job_id in others[::10]] == [[]] * 5
    assert lab.ledger.counts("END") == {"one": 1, "two": 1, **{str(key): 1 for key in range(50)}}


FORGETFUL_APP = """
import os, signal
from pathlib import Path
from fastjobs import FastJobs

app = FastJobs()

@app.job(finished_keep_s=0)
def forgotten(number):
    pass

@app.job
def kept(number):
    pass

@app.job
def kill_once(flag):
    if not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_finished_jobs_of_a_dead_process_are_kept_as_long_as_their_type_says(long_lab):
    """Fault A1: the supervisor knows no job types, so the process leaves it what it needs."""
    lab = long_lab
    (lab.directory / "forgetful.py").write_text(FORGETFUL_APP)
    forgotten, kept, kill_once = (lab.app.job(name=name)(print) for name in ("forgotten", "kept", "kill_once"))
    forgotten.enqueue(0).set_priority(5)
    forgotten.options(job_id="mine").enqueue(1)
    forgotten.enqueue_many(range(20))
    kept.enqueue_many(range(3))
    kill_once.enqueue(str(lab.gate("flag")))
    worker = lab.worker("--burst", app="forgetful.py")
    assert worker.wait() == 0
    assert re.search(r"settled jobs of a dead process .*finished=[1-9]", worker.log)
    assert lab.counts() == {"finished": 4}
    assert forgotten.options(job_id="mine").enqueue(2).status == Status.QUEUED
    assert lab.counts() == {"finished": 4, "queued": 1}


HANGING_APP = """
import os, time
from fastjobs import FastJobs

app = FastJobs()

@app.job(timeout=0.2, retries={retries}, retry_delay=0)
def hang(file):
    with open(file, "a") as starts:
        starts.write("+")
    time.sleep(60)
"""


def test_a_job_that_its_process_had_to_be_killed_for_is_retried_as_that_process_knew_its_type(long_lab):
    """Fault A13: after a reload, the processes may know other policies than the first one did."""
    lab = long_lab
    starts, source = lab.gate("starts"), lab.directory / "hanging.py"
    source.write_text(HANGING_APP.format(retries=0))
    worker = lab.worker(app="hanging.py", env={"FASTJOBS_TIMEOUT_GRACE_S": "0.2"}).wait_ready()
    # Longer than before: a compiled file is known by the source's size and time in seconds.
    source.write_text(HANGING_APP.format(retries="0 + 1"))
    worker.signal(signal.SIGHUP)
    worker.wait_ready(2)
    job = lab.app.job(name="hang")(print).enqueue(str(starts))
    lab.wait(lambda: job.refresh().status == Status.FAILED, "it has failed")
    assert starts.read_text() == "++"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("segfault", "killed by SIGSEGV"),
        ("exit", "exited with code 9"),
        ("abort", "killed by SIGABRT"),
        ("real-time", "killed by signal 63"),
    ],
)
def test_a_poison_job_fails_with_the_cause_named_and_its_neighbours_are_not_charged(long_lab, how, words):
    lab = long_lab
    lab.jobs.note.enqueue_many(range(20))
    poison = lab.jobs.crash.enqueue("poison", how)
    others = lab.jobs.note.enqueue_many(range(20, 40))
    lab.burst("-p", "2")
    assert poison.refresh().status == Status.FAILED
    assert len(poison.errors) == 3
    assert words in poison.error.message
    assert lab.ledger.counts("START") == {"poison": 3, **{str(key): 1 for key in range(40)}}
    assert [lab.app.jobs.find(job_id).errors for job_id in others[::5]] == [[]] * 4


def test_a_suspect_runs_alone_so_that_its_neighbours_are_blamed_once_at_most(long_lab):
    lab = long_lab
    poison = lab.jobs.crash.enqueue("poison", "SIGKILL")
    neighbours = [lab.jobs.take.enqueue(key, 0.05) for key in range(12)]
    lab.burst("-c", "4")
    assert poison.refresh().status == Status.FAILED
    assert all(job.refresh().status == Status.FINISHED for job in neighbours)
    assert all(len(job.errors) <= 1 for job in neighbours)


def test_neighbours_in_other_threads_are_run_again(long_lab):
    lab = long_lab
    lab.jobs.crash_beside.enqueue("killer", ["left", "right"])
    for key in ("left", "right"):
        lab.jobs.hold.enqueue(key, str(lab.gate()))
    worker = lab.worker("-c", "3")
    lab.wait_started("killer", "left", "right")
    worker.wait_for_log("settled jobs of a dead process")
    lab.gate().touch()
    lab.wait(lambda: lab.counts() == {"finished": 3}, "all have run")
    assert lab.ledger.counts("END") == {"killer": 1, "left": 1, "right": 1}


def test_a_process_that_dies_at_every_start_ends_the_worker(lab):
    (lab.directory / "doomed.py").write_text("import os\nprint('born', flush=True)\nos._exit(7)\n")
    worker = lab.worker("-p", "2", app="doomed.py:app")
    assert worker.wait() == 5
    assert "processes keep exiting before they are ready, giving up" in worker.log
    assert 6 <= worker.log.count("born") <= 7
    delays = [float(part.split()[0]) for part in worker.log.split("delay_s=")[1:]]
    assert delays[-1] > 2 * delays[0]


# The supervisor dies.


def test_processes_end_by_themselves_when_their_supervisor_is_killed(lab):
    lab.jobs.hold.enqueue("held", str(lab.gate()))
    worker = lab.worker("-p", "2").wait_ready(2)
    children = worker.children()
    lab.wait_started("held")
    worker.signal(signal.SIGKILL)
    worker.process.wait()
    lab.gate().touch()
    wait_until(lambda: not any(map(psutil.pid_exists, children)), PATIENCE_S, "the processes have ended")
    assert lab.counts() == {"finished": 1}
    assert lab.ledger.counts("END") == {"held": 1}
    assert lab.redis.zcard(lab.key("sessions")) == 0


def test_another_worker_finishes_what_a_killed_one_had(short_lab):
    lab = short_lab
    lab.jobs.hold.enqueue("held", str(lab.gate()))
    ids = lab.jobs.note.enqueue_many(range(50))
    worker = lab.worker("-c", "1")
    lab.wait_started("held")
    other = lab.worker().wait_ready()
    worker.signal_group(signal.SIGKILL)
    lab.gate().touch()
    lab.wait(lambda: lab.counts() == {"finished": 51}, "everything has run")
    counts = lab.ledger.counts("END")
    assert counts["held"] == 1
    assert set(counts.values()) == {1}
    assert lab.ledger.count("START", "held") == 2
    assert lab.app.jobs.find(ids[7]).errors == []
    assert other.stop() == 0


def test_a_death_is_one_redelivery_however_many_pieces_of_a_chunk_it_held(short_lab):
    lab = short_lab
    environment = {"FASTJOBS_MAX_REDELIVERIES": "3"}
    lab.jobs.hold.enqueue_many([(number, str(lab.gate())) for number in range(8)])
    worker = lab.worker("-c", "8", "--batch-size", "1", env=environment)
    lab.wait_started(*range(8))
    worker.signal_group(signal.SIGKILL)
    lab.gate().touch()
    lab.worker(env=environment)
    lab.wait(lambda: lab.counts() == {"finished": 8}, "all have run")


def test_the_death_of_a_worker_of_many_processes_fails_no_job(short_lab):
    """Fault A3: each process that held jobs of the chunk counts for the chunk."""
    lab = short_lab
    environment = {"FASTJOBS_MAX_REDELIVERIES": "3"}
    lab.jobs.hold.enqueue_many([(number, str(lab.gate())) for number in range(10)])
    worker = lab.worker("-p", "5", "--batch-size", "1", env=environment)
    lab.wait(lambda: len({entry.pid for entry in lab.ledger.entries()}) == 5, "each process runs a job")
    worker.signal_group(signal.SIGKILL)
    lab.gate().touch()
    lab.worker(env=environment)
    lab.wait(lambda: lab.counts() == {"finished": 10}, "all have run")


# Something freezes.


def test_a_frozen_process_keeps_its_jobs_while_its_supervisor_lives(short_lab):
    lab = short_lab
    lab.jobs.hold.enqueue("held", str(lab.gate()))
    worker = lab.worker()
    child = ready_child(worker)
    lab.wait_started("held")
    other = lab.worker().wait_ready()
    freeze(child)
    let_leases_pass(lab)
    lab.gate().touch()
    thaw(child)
    lab.wait(lambda: lab.counts() == {"finished": 1}, "the job has run")
    assert lab.ledger.counts("START") == {"held": 1}
    assert (worker.stop(), other.stop()) == (0, 0)
    assert "lease lost" not in worker.log


def test_processes_renew_themselves_while_their_supervisor_is_frozen(short_lab):
    lab = short_lab
    lab.jobs.hold.enqueue("held", str(lab.gate()))
    worker = lab.worker("-p", "2").wait_ready(2)
    lab.wait_started("held")
    other = lab.worker().wait_ready()
    freeze(worker.pid)
    let_leases_pass(lab)
    lab.jobs.note.enqueue_many(range(50))
    lab.wait_ended(*range(50))
    lab.gate().touch()
    lab.wait(lambda: lab.counts() == {"finished": 51}, "everything has run")
    thaw(worker.pid)
    assert set(lab.ledger.counts("START").values()) == {1}
    assert (worker.stop(), other.stop()) == (0, 0)
    assert "lease lost" not in worker.log


def test_a_worker_frozen_beyond_its_lease_is_fenced_and_begins_anew(short_lab):
    lab = short_lab
    lab.jobs.hold.enqueue("held", str(lab.gate()))
    lab.jobs.note.enqueue_many(range(50))
    worker = lab.worker()
    child = ready_child(worker)
    lab.wait_started("held")
    freeze(worker.pid, child)
    other = lab.worker().wait_ready()
    lab.wait(lambda: lab.ledger.count("START", "held") == 2, "the other worker has taken over")
    lab.gate().touch()
    lab.wait(lambda: lab.counts() == {"finished": 51}, "everything has run")
    thaw(child, worker.pid)
    worker.wait_for_log("lease lost, its jobs will run elsewhere")
    worker.wait_ready(2)
    assert other.stop() == 0
    lab.jobs.note.enqueue("new")
    lab.wait_ended("new")
    assert worker.stop() == 0
    assert lab.counts() == {"finished": 52}
    assert lab.field("finished_total") == 52
    assert {key: number for key, number in lab.ledger.counts("START").items() if number > 1} == {"held": 2}
    assert lab.holds_nothing()
    assert "will be retried" not in worker.log


def test_a_job_that_keeps_the_interpreter_beyond_the_lease_runs_once(short_lab):
    lab = short_lab
    job = lab.jobs.hold_gil.enqueue("job", 3 * lab.lease_ms / 1000)
    lab.jobs.note.enqueue_many(range(20))
    worker = lab.worker("-c", "2").wait_ready()
    other = lab.worker().wait_ready()
    lab.wait(lambda: lab.counts() == {"finished": 21}, "everything has run")
    assert set(lab.ledger.counts("START").values()) == {1}
    assert (worker.stop(), other.stop()) == (0, 0)
    assert job.refresh().errors == []
    assert "lease lost" not in worker.log + other.log


# The server dies, freezes, forgets.


def test_a_server_that_is_killed_and_started_again_loses_nothing(own_server_lab):
    lab = own_server_lab
    lab.jobs.hold.enqueue("held", str(lab.gate()))
    lab.jobs.note.enqueue_many(range(500))
    worker = lab.worker("-p", "2").wait_ready(2)
    lab.wait_started("held")
    lab.wait(lambda: lab.counts().get("finished") == 500, "the others have run")
    lab.server.kill()
    worker.wait_for_log("server unavailable")
    lab.gate().touch()
    lab.wait_ended("held")
    lab.server.start()
    lab.wait(lambda: lab.counts() == {"finished": 501}, "the result has arrived")
    lab.jobs.note.enqueue("new")
    lab.wait_ended("new")
    assert worker.stop() == 0
    assert set(lab.ledger.counts("START").values()) == {1}
    assert "Traceback" not in worker.log


def test_a_server_frozen_beyond_the_lease_requeues_nothing(namespace, tmp_path):
    with ServerProcess() as process:
        lab = Lab(process, namespace, tmp_path, SHORT_LEASE_MS)
        try:
            lab.jobs.hold.enqueue_many([(key, str(lab.gate())) for key in range(4)])
            worker = lab.worker("-p", "2", "-c", "2").wait_ready(2)
            lab.wait_started(*range(4))
            process.freeze()
            let_leases_pass(lab, 3)
            process.thaw()
            let_leases_pass(lab, 2)
            assert lab.counts() == {"executing": 4}
            lab.gate().touch()
            lab.wait(lambda: lab.counts() == {"finished": 4}, "the jobs have ended")
            assert set(lab.ledger.counts("START").values()) == {1}
            assert lab.field("redelivered_total") == 0
            assert worker.stop() == 0
            assert "lease lost" not in worker.log
        finally:
            lab.close()


def test_a_server_that_forgets_the_scripts_is_told_again(own_server_lab):
    lab = own_server_lab
    worker = lab.worker("-p", "2").wait_ready(2)
    for part in range(10):
        lab.jobs.note.enqueue_many(range(20 * part, 20 * part + 20))
        lab.redis.script_flush()
    lab.wait(lambda: lab.counts() == {"finished": 200}, "everything has run")
    assert worker.stop() == 0
    assert set(lab.ledger.counts("START").values()) == {1}


def test_a_server_that_lost_everything_is_worked_on_again(own_server_lab):
    lab = own_server_lab
    worker = lab.worker("-p", "2").wait_ready(2)
    lab.jobs.note.enqueue("before")
    lab.wait_ended("before")
    lab.redis.flushall()
    lab.jobs.note.enqueue("after")
    lab.wait_ended("after")
    lab.wait(lambda: lab.counts() == {"finished": 1}, "the result has arrived")
    assert worker.stop() == 0
    assert "Traceback" not in worker.log


# Busy doing nothing.


def script_calls(lab: Lab) -> int:
    return int(lab.redis.info("commandstats")["cmdstat_evalsha"]["calls"])


def test_slow_jobs_in_all_threads_do_not_make_a_process_lease_and_release_in_a_loop(own_server_lab):
    lab = own_server_lab
    lab.jobs.hold.enqueue_many([(key, str(lab.gate())) for key in range(100)])
    worker = lab.worker("-c", "2").wait_ready()
    lab.wait_started(0, 1)
    lab.wait(lambda: lab.counts() == {"executing": 2, "queued": 98}, "the others are given back")
    before = script_calls(lab)
    let_leases_pass(lab)
    # In each of 3 queues some 12 renewals, 8 looks for dead sessions, 2 audits.
    assert script_calls(lab) - before < 150
    assert lab.counts() == {"executing": 2, "queued": 98}
    lab.gate().touch()
    lab.wait(lambda: lab.counts() == {"finished": 100}, "all have run")
    assert worker.stop() == 0


def test_a_process_sleeps_while_a_suspect_runs_alone(long_lab):
    lab = long_lab
    lab.jobs.hold.enqueue("held", str(lab.gate()))
    worker = lab.worker("-c", "2")
    lab.wait_started("held")
    os.kill(ready_child(worker), signal.SIGKILL)
    lab.wait(lambda: lab.ledger.count("START", "held") == 2, "the suspect runs again")
    (child,) = worker.children()
    # Time itself is what is used up, or not.
    before = psutil.Process(child).cpu_times().user
    time.sleep(1)
    assert psutil.Process(child).cpu_times().user - before < 0.15
    lab.gate().touch()
    lab.wait_ended("held")
    assert worker.stop() == 0


# One job among many.

SUSPECTS = 32
MIXED_APP = """
import os, signal, time
from pathlib import Path
from fastjobs import FastJobs
from tests.apps.handlers import take as write

app = FastJobs()

@app.job
def work(key):
    if key == "killer":
        while not Path("full").exists():
            time.sleep(0.003)
        Path("crashed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    # The first time, all of them run until they are killed.
    write(key, 0.5 if Path("crashed").exists() else 3600)
"""


def test_a_killer_among_many_is_found_by_halves(long_lab):
    """Fault A10: its neighbours run in groups, and are charged once at most."""
    lab = long_lab
    (lab.directory / "mixed.py").write_text(MIXED_APP)
    work = lab.app.job(name="work")(print)
    killer = work.enqueue("killer")
    others = [work.enqueue(f"job-{number}") for number in range(SUSPECTS - 1)]
    worker = lab.worker("-c", str(SUSPECTS), app="mixed.py").wait_ready()
    lab.wait_started(*(f"job-{number}" for number in range(SUSPECTS - 1)))
    lab.gate("full").touch()
    lab.wait(lambda: lab.counts() == {"finished": SUSPECTS - 1, "failed": 1}, "all have ended", 60)
    assert worker.stop() == 0
    assert killer.refresh().status == Status.FAILED
    assert len(killer.errors) == 3
    assert all(len(job.refresh().errors) <= 1 for job in others)
    # The first time, five halvings of 32, and twice alone.
    assert worker.log.count("process exited, starting a new one") <= 8
    # Each of the halves that did not hold the killer ran together.
    assert most_after_the_first_crash(lab) >= SUSPECTS // 4


def most_after_the_first_crash(lab: Lab) -> int:
    entries = lab.ledger.entries()
    first = entries[0].pid
    running = most = 0
    for entry in entries:
        if entry.pid != first:
            running = max(0, running + (1 if entry.what == "START" else -1))
            most = max(most, running)
    return most


DEADLY_APP = """
import os, signal
from fastjobs import FastJobs
from tests.apps.handlers import take as write

app = FastJobs()

@app.job
def work(key):
    if key == "killer":
        os.killpg(0, signal.SIGKILL)
    write(key, 0.02)
"""


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_job_that_kills_whole_workers_fails_and_no_other_does(short_lab, processes):
    """Fault A3: as when the memory limit of a container ends all of its processes."""
    lab = short_lab
    (lab.directory / "deadly.py").write_text(DEADLY_APP)
    lab.settings["FASTJOBS_MAX_REDELIVERIES"] = "6"
    work = lab.app.job(name="work")(print)
    keys = ["killer", *(f"job-{number}" for number in range(60))]
    ids = work.enqueue_many(keys)
    done = {"finished": 60, "failed": 1}
    for _ in range(40):
        worker = lab.worker("-p", processes, app="deadly.py")
        lab.wait(
            lambda worker=worker: worker.process.poll() is not None or lab.counts() == done, "it is killed, or done"
        )
        if lab.counts() == done:
            break
    assert lab.counts() == done
    job = lab.app.jobs.find(ids[0])
    assert (job.status, job.error.type) == (Status.FAILED, "TooManyRedeliveries")
