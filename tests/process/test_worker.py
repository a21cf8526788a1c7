"""The command: what it runs, in which order, with which settings, and what it says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import psutil
import pytest

from fastjobs import Status, __version__
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until
from tests.harness.worker import COMMAND, PATIENCE_S, Lab

# Running jobs.


def test_jobs_run_exactly_once_in_processes_and_threads(lab):
    lab.jobs.note.enqueue_many(range(3000))
    log = lab.burst("-p", "2", "-c", "3").log
    assert lab.ledger.counts("START") == {str(key): 1 for key in range(3000)}
    assert lab.ledger.counts("END") == {str(key): 1 for key in range(3000)}
    assert lab.counts() == {"finished": 3000}
    assert "Traceback" not in log


def test_all_processes_and_threads_work_at_the_same_time(lab):
    lab.jobs.hold.enqueue_many([(key, str(lab.gate())) for key in range(6)])
    worker = lab.worker("-p", "2", "-c", "3")
    lab.wait_started(*range(6))
    assert len({entry.pid for entry in lab.ledger.entries()}) == 2
    lab.gate().touch()
    lab.wait(lambda: lab.counts() == {"finished": 6}, "all have run")
    assert worker.stop() == 0


def test_a_burst_waits_for_retries(lab):
    job = lab.jobs.fail_list.options(retry_delay=0.4).enqueue("job", 2)
    worker = lab.burst("-p", "2")
    assert "all queues drained" in worker.log
    assert job.refresh().status == Status.FINISHED


def test_a_burst_with_nothing_to_do_ends(lab):
    assert lab.burst("-p", "2").process.returncode == 0


def test_a_slow_job_does_not_hold_up_those_behind_it(lab):
    lab.jobs.hold.enqueue_many([(f"slow-{number}", str(lab.gate())) for number in range(1)])
    lab.jobs.note.enqueue_many(range(100))
    worker = lab.worker("-p", "2").wait_ready(2)
    lab.wait_ended(*range(100))
    assert lab.ledger.count("END", "slow-0") == 0
    lab.gate().touch()
    lab.wait_ended("slow-0")
    assert worker.stop() == 0


def test_an_idle_worker_is_woken_by_new_work(lab):
    """It looks by itself once a second: forty jobs one after the other would take as many seconds."""
    worker = lab.worker("-p", "2").wait_ready(2)

    def next_has_run() -> bool:
        done = len(lab.ledger.keys("END"))
        if len(lab.ledger.keys("START")) == done and done < 40:
            lab.jobs.note.enqueue(done)
            lab.wait_ended(done)
        return done == 40

    lab.wait(next_has_run, "forty jobs have run one after the other", 15)
    assert lab.ledger.keys("END") == [str(key) for key in range(40)]
    assert worker.stop() == 0


def test_a_lost_hint_is_made_up_for(lab):
    worker = lab.worker().wait_ready()
    lab.jobs.note.enqueue("before")
    lab.wait_ended("before")
    lab.wait(lambda: waiting_clients(lab), "the process waits for a hint")
    (child,) = worker.children()
    os.kill(child, signal.SIGSTOP)
    for client in waiting_clients(lab):
        lab.redis.client_kill_filter(_id=client["id"])
    lab.jobs.note.enqueue("unannounced")
    assert lab.redis.delete(lab.key("wake")) == 1
    os.kill(child, signal.SIGCONT)
    lab.wait_ended("unannounced")
    assert worker.stop() == 0


def waiting_clients(lab: Lab) -> list[dict[str, str]]:
    return [client for client in lab.redis.client_list() if client["cmd"] == "blpop"]


# Queues.


def queued_everywhere(lab: Lab) -> None:
    for number in range(3):
        lab.jobs.third.enqueue(f"third-{number}")
        lab.jobs.other.enqueue(f"other-{number}")
        lab.jobs.note.enqueue(f"default-{number}")


def test_queues_in_strict_order(lab):
    queued_everywhere(lab)
    lab.burst("-Q", "other,third,default", "--batch-size", "1")
    names = ["other", "third", "default"]
    assert lab.ledger.keys("START") == [f"{name}-{number}" for name in names for number in range(3)]


def test_queues_that_are_not_named_are_left_alone(lab):
    queued_everywhere(lab)
    lab.burst("-Q", "other")
    assert set(lab.ledger.keys("START")) == {"other-0", "other-1", "other-2"}
    assert lab.counts("third") == {"queued": 3}


def test_weighted_queues_share_by_weight(lab):
    lab.jobs.other.enqueue_many(f"other-{number}" for number in range(400))
    lab.jobs.third.enqueue_many(f"third-{number}" for number in range(400))
    lab.burst("-Q", "other:3,third:1", "--batch-size", "1")
    first = lab.ledger.keys("START")[:400]
    share = sum(key.startswith("other") for key in first)
    # Binomial, 400 draws at 3 in 4: mean 300, standard deviation 8.7; six of them.
    assert 248 <= share <= 352
    assert lab.ledger.counts("END").total() == 800


def test_priority_first_and_then_first_in_first_out(lab):
    for number in range(4):
        lab.jobs.note.enqueue(f"low-{number}")
        lab.jobs.note.options(priority=5).enqueue(f"high-{number}")
    lab.burst("--batch-size", "1")
    assert lab.ledger.keys("START") == [f"{level}-{number}" for level in ("high", "low") for number in range(4)]


# Replacing processes.


def test_processes_are_replaced_after_their_number_of_jobs(lab):
    worker = lab.worker("--max-jobs-per-child", "10").wait_ready()
    for part in range(3):
        lab.jobs.note.enqueue_many(range(20 * part, 20 * part + 20))
        lab.wait_ended(*range(20 * part, 20 * part + 20))
        worker.wait_ready(part + 2)
    assert len(re.findall("replacing process .*reason=ran", worker.log)) >= 3
    assert worker.stop() == 0
    assert lab.ledger.counts("START") == {str(key): 1 for key in range(60)}
    assert len({entry.pid for entry in lab.ledger.entries()}) >= 3


def test_processes_are_replaced_when_they_are_too_large(lab):
    worker = lab.worker("--max-memory-per-child", "200").wait_ready()
    lab.jobs.note.enqueue_many(range(20))
    lab.jobs.grow.enqueue("large", 256)
    lab.jobs.note.enqueue_many(range(20, 40))
    worker.wait_for_log("replacing process .*reason=uses")
    worker.wait_ready(2)
    lab.wait(lambda: lab.counts() == {"finished": 41}, "everything has run")
    assert worker.stop() == 0
    assert set(lab.ledger.counts("START").values()) == {1}


def change_until(file: Path, content: str, condition: Callable[[], bool]) -> None:
    """Writes a file until that is noticed: the watcher starts in a thread of its own, at some time."""

    def changed() -> bool:
        file.write_text(content)
        for _ in range(100):
            if condition():
                return True
            time.sleep(0.01)
        return False

    wait_until(changed, PATIENCE_S, "the change is noticed")


RELOADED_APP = """
from fastjobs import FastJobs
from tests.apps.handlers import note as write
app = FastJobs()
@app.job
def note(key):
    write(f"{key}-VERSION")
"""


def test_a_changed_file_is_loaded_and_a_broken_one_waited_out(lab):
    file = lab.directory / "changing.py"
    file.write_text(RELOADED_APP.replace("VERSION", "old"))
    worker = lab.worker("--reload", app="changing.py").wait_ready()
    lab.jobs.note.enqueue("job")
    lab.wait_ended("job-old")
    broken = "cannot load changed code, waiting for the next change"
    change_until(file, "this is not Python", lambda: broken in worker.log)
    ready = worker.log.count("process ready")
    change_until(file, RELOADED_APP.replace("VERSION", "new"), lambda: worker.log.count("process ready") > ready)
    lab.jobs.note.enqueue("job")
    lab.wait_ended("job-new")
    assert worker.stop() == 0


# Settings.

#: Name elsewhere: option and value.
SETTINGS = {
    "processes": ("-p", "3"),
    "concurrency": ("-c", "5"),
    "queues": ("-Q", "third,other"),
    "burst": ("--burst", "true"),
    "log_format": ("--log-format", "json"),
    "log_level": ("--log-level", "debug"),
    "max_jobs_per_child": ("--max-jobs-per-child", "1"),
    "max_memory_per_child": ("--max-memory-per-child", "1"),
    "shutdown_timeout": ("--shutdown-timeout", "0"),
    "start_timeout": ("--start-timeout", "0.1"),
    "reload": ("--reload", "true"),
}
#: A pattern in the log that is there only with the setting.
SHOWN = {
    "processes": r"processes  3 x",
    "concurrency": r"x 5 thread",
    "queues": r"queues     third, other\n",
    "burst": r"all queues drained",
    "log_format": r'^\{"time"',
    "log_level": r" debug ",
    "max_jobs_per_child": r"replacing process .*reason=ran",
    "max_memory_per_child": r"replacing process .*reason=uses",
    "shutdown_timeout": r"shutdown timeout reached",
    "start_timeout": r"process did not start in time",
    "reload": r"reloading",
}


@pytest.mark.parametrize("way", ["option", "environment", "pyproject"])
@pytest.mark.parametrize("name", sorted(SHOWN))
def test_every_setting_can_be_given_in_three_ways(lab, name, way):
    option, value = SETTINGS[name]
    arguments, environment = [], {}
    if way == "option":
        arguments = [option] if value == "true" else [option, value]
    elif way == "environment":
        environment[f"FASTJOBS_{name.upper()}"] = value
    else:
        literal = value if value == "true" or value.isdecimal() else f'"{value}"'
        (lab.directory / "pyproject.toml").write_text(f"[tool.fastjobs]\n{name.replace('_', '-')} = {literal}\n")
    if name != "processes":
        arguments += ["-p", "1"]
    else:
        environment.setdefault("FASTJOBS_PROCESSES", "" if way != "environment" else value)
    lab.jobs.hold.enqueue("held", str(lab.gate()))
    if name != "shutdown_timeout":
        lab.gate().touch()
    worker = lab.worker(*arguments, env=environment)
    if name == "shutdown_timeout":
        lab.wait_started("held")
        worker.signal(signal.SIGTERM)
    if name == "reload":
        change_until(lab.directory / "any.py", "", lambda: "reloading" in worker.log)
    wait_until(lambda: re.search(SHOWN[name], worker.log, re.MULTILINE), PATIENCE_S, f"{SHOWN[name]!r} is logged")


# Finding the app.

TINY_APP = "from tests.apps.main import app\n"


@pytest.mark.parametrize(
    ("file", "argument", "environment", "project"),
    [
        ("shop.py", "shop:app", {}, ""),
        ("shop.py", "shop", {}, ""),
        ("shop.py", "shop.py", {}, ""),
        ("shop.py", "./shop.py:app", {}, ""),
        ("shop/tasks.py", "shop.tasks:app", {}, ""),
        ("shop/tasks.py", "shop/tasks.py", {}, ""),
        ("shop.py", None, {"FASTJOBS_APP": "shop:app"}, ""),
        ("shop.py", None, {}, '[tool.fastjobs]\napp = "shop:app"\n'),
        ("jobs.py", None, {}, ""),
        ("app.py", None, {}, ""),
    ],
)
def test_the_app_is_found(lab, file, argument, environment, project):
    path = lab.directory / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(TINY_APP)
    if project:
        (lab.directory / "pyproject.toml").write_text(project)
    lab.jobs.note.enqueue("job")
    worker = lab.worker("--burst", app=argument, env=environment)
    assert worker.wait() == 0, worker.log
    assert lab.ledger.counts("END") == {"job": 1}


@pytest.mark.parametrize(
    ("content", "argument", "message"),
    [
        (None, None, "no app: name it"),
        (None, "nowhere:app", "there is no module 'nowhere'"),
        (None, "nowhere.py", "there is no file"),
        ("app = 5\n", "shop:app", "shop has no FastJobs named 'app'"),
        ("", "shop", "shop must hold exactly one FastJobs, but holds: none"),
        ("import no_such_thing\n", "shop", "importing shop failed: No module named 'no_such_thing'"),
        ("1 / 0\n", "shop", "importing shop failed: ZeroDivisionError: division by zero"),
        ("from fastjobs import FastJobs\napp = FastJobs()\n", "shop:app", "shop:app has no job types"),
        ("from fastjobs import FastJobs\na, b = FastJobs(), FastJobs()\n", "shop", "but holds: a, b"),
    ],
)
def test_an_app_that_cannot_be_used_ends_the_worker_with_one_line(lab, content, argument, message):
    if content is not None:
        (lab.directory / "shop.py").write_text(content)
    worker = lab.worker(app=argument)
    assert worker.wait() == 2
    assert message in worker.log
    assert "Traceback" not in worker.log
    assert len(worker.log.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "0"], "processes=0 is out of range"),
        (["-c", "many"], "is not a valid integer"),
        (["-Q", "a,b:3"], "give all of them a weight, or none"),
        (["--log-level", "loud"], "log_level='loud'"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_a_setting_that_cannot_be_used_ends_the_worker_with_a_message(lab, arguments, message):
    worker = lab.worker(*arguments)
    assert worker.wait() == 2
    assert message in worker.log
    assert "Traceback" not in worker.log


# What it says.


def test_the_banner_tells_what_runs(lab):
    log = lab.burst("-c", "2", "-Q", "default,other").log
    assert f"fastjobs {__version__} (compiled) on Python" in log
    name = "redis" if "redis" in os.environ.get("FASTJOBS_TEST_SERVER", "") else "valkey"
    assert re.search(rf"server     {name} \d+\.\d+\.\d+ at unix://{lab.server.socket}", log)
    assert "queues     default, other\n" in log
    assert "processes  1 x 2 thread(s)\n" in log
    assert "job types  ask_again, crash," in log


def test_every_line_of_a_json_log_is_an_object(lab):
    lab.jobs.explode.enqueue("surrogate")
    lab.jobs.crash.enqueue("poison", "exit")
    lines = lab.burst("--log-format", "json").log.splitlines()
    records = [orjson.loads(line) for line in lines]
    assert all({"time", "level", "logger", "message"} <= record.keys() for record in records)
    assert any(record["message"] == "process ready" and record["pid"] for record in records)
    assert any(record.get("job") and record["level"] == "error" for record in records)


def test_version_and_help():
    shown = subprocess.run([COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert __version__ in shown.stdout
    assert "Exit codes:" in subprocess.run([COMMAND, "-h"], capture_output=True, text=True, check=True).stdout


# From Python.

SCRIPT_APP = """
from fastjobs import FastJobs
app = FastJobs()
@app.job(retries=0)
def note(text: str) -> None: ...
"""

POOL_PROGRAM = """
import sys
from tests.apps.main import app
if __name__ == "__main__":
    {body}
"""


UNGUARDED = """
{app}
for number in range(10):
    note.enqueue(str(number))
with app.pool(processes=2, burst=True) as pool:
    print("exit code", pool.wait())
"""


def run_script(lab: Lab, text: str, command: Sequence[str] = ("script.py",)) -> str:
    (lab.directory / "script.py").write_text(text)
    return end(
        subprocess.Popen(
            [sys.executable, *command],
            cwd=lab.directory,
            env=lab.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    )


def test_a_pool_of_a_script_without_a_main_guard_enqueues_nothing_twice(lab):
    """The processes import the script: what it does when it is imported, each of them would do again."""
    output = run_script(lab, UNGUARDED.format(app=SCRIPT_APP))
    assert "the app enqueues a job while a worker or a command imports it" in output
    assert "if __name__ == '__main__':" in output
    assert "exit code 2" in output
    assert lab.counts() == {"queued": 10}


def test_a_script_that_only_uses_an_app_is_not_imported_by_its_pool(lab):
    (lab.directory / "shop.py").write_text(SCRIPT_APP)
    output = run_script(lab, UNGUARDED.format(app="from shop import app, note"))
    assert "exit code 0" in output
    assert lab.counts() == {"finished": 10}


def test_a_pool_of_a_script_that_runs_a_recurring_job_when_it_is_imported_is_refused(lab):
    tick = "tick = note.every(3600, 'tick', id='tick')\nif __name__ == '__main__': tick.store()\n"
    runs = f"{tick}tick.run_now()\nwith app.pool(processes=2, burst=True) as pool: pool.wait()"
    output = run_script(lab, f"{SCRIPT_APP}\n{runs}")
    assert "the app runs a recurring job while a worker or a command imports it" in output
    assert lab.counts() == {"queued": 1}


GUARDED = """
{app}
{own}
if __name__ == "__main__":
    note.enqueue("job")
    with app.pool(processes=1, burst=True) as pool:
        print("exit code", pool.wait())
"""


def test_hooks_of_the_script_are_called_by_its_pool(lab):
    (lab.directory / "shop.py").write_text(SCRIPT_APP)
    own = "@app.on_worker_start\ndef started(worker): print('hook called', flush=True)"
    output = run_script(lab, GUARDED.format(app="from shop import app, note", own=own))
    assert "hook called" in output
    assert lab.counts() == {"finished": 1}


def test_handlers_of_a_script_that_a_pool_could_not_find_are_refused(lab):
    (lab.directory / "shop.py").write_text(SCRIPT_APP)
    own = "@shop.app.job\ndef lost(text): ..."
    program = GUARDED.format(app="import shop\nfrom shop import note", own=own).replace("with app", "with shop.app")
    output = run_script(lab, program)
    assert "the running program has handlers or hooks of this app" in output


@pytest.mark.parametrize("command", [["script.py"], ["-m", "script"], ["-m", "work.script"]])
def test_a_script_with_a_main_guard_is_imported_by_its_pool_under_its_own_name(lab, command):
    (lab.directory / "work").mkdir()
    (lab.directory / "work" / "__init__.py").touch()
    own = "class Thing: ...\nimport pickle\nprint(pickle.loads(pickle.dumps(Thing())).__class__, flush=True)"
    (lab.directory / "work" / "script.py").write_text(GUARDED.format(app=SCRIPT_APP, own=own))
    output = run_script(lab, GUARDED.format(app=SCRIPT_APP, own=own), command)
    name = command[-1].removesuffix(".py")
    assert "<class '__main__.Thing'>" in output
    assert f"<class '{name}.Thing'>" in output
    assert "exit code 0" in output
    assert lab.counts() == {"finished": 1}


def run_pool(lab: Lab, body: str) -> subprocess.Popen[str]:
    program = lab.directory / "program.py"
    program.write_text(POOL_PROGRAM.format(body=textwrap.indent(textwrap.dedent(body), "    ").strip()))
    return subprocess.Popen(
        [sys.executable, str(program)],
        cwd=lab.directory,
        env=lab.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> str:
    try:
        output, _ = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"the program has not ended:\n{output}") from None
    return output


def test_a_pool_is_started_closed_and_waited_for(lab):
    lab.jobs.hold.enqueue("job", str(lab.gate()))
    body = """
    pool = app.pool(processes=2, threads=2)
    pool.start()
    import time
    from pathlib import Path
    while not Path("close").exists():
        time.sleep(0.01)
    pool.close()
    pool.close()
    try:
        pool.wait(0.01)
    except TimeoutError:
        print("still running", flush=True)
    Path("gate").touch()
    print("code", pool.wait(), flush=True)
    """
    program = run_pool(lab, body)
    lab.wait_started("job")
    (lab.directory / "close").touch()
    output = end(program)
    assert "still running" in output
    assert "code 0" in output
    assert lab.counts() == {"finished": 1}


def test_a_pool_is_a_context_manager(lab):
    lab.jobs.note.enqueue("job")
    body = """
    import time
    from fastjobs import Status
    with app.pool(processes=1):
        while not app.jobs.count(Status.FINISHED):
            time.sleep(0.01)
    print("closed", flush=True)
    """
    assert "closed" in end(run_pool(lab, body))
    assert lab.ledger.counts("END") == {"job": 1}


def test_a_pool_ends_when_the_program_that_started_it_is_killed(lab):
    lab.jobs.hold.enqueue("job", str(lab.gate()))
    program = run_pool(lab, "import time; app.pool(processes=2).start(); time.sleep(120)")
    lab.wait_started("job")
    started = psutil.Process(program.pid).children(recursive=True)
    assert len(started) == 3
    program.kill()
    lab.gate().touch()
    wait_until(lambda: not any(child.is_running() for child in started), PATIENCE_S, "its processes have ended")
    program.communicate()
    assert lab.counts() == {"finished": 1}


HOLDING_POOL = """
import time
with app.pool(processes=1):
    print("pool started", flush=True)
    time.sleep(120)
"""


def read_until(program: subprocess.Popen[str], words: str) -> None:
    """Reads what a program prints until a line has these words."""
    assert program.stdout is not None
    for line in program.stdout:
        if words in line:
            return
    raise AssertionError(f"the program ended and did not print {words!r}")


def test_ctrl_c_leaves_the_running_jobs_of_a_pool_to_end(lab):
    lab.jobs.hold.enqueue("job", str(lab.gate()))
    program = run_pool(lab, HOLDING_POOL)
    read_until(program, "pool started")
    lab.wait_started("job")
    (worker,) = psutil.Process(program.pid).children()
    # As a terminal does.
    os.killpg(program.pid, signal.SIGINT)
    read_until(program, "stopping, waiting for running jobs")
    lab.gate().touch()
    output = end(program)
    assert not worker.is_running()
    assert "KeyboardInterrupt" in output
    assert "immediately" not in output
    assert lab.ledger.counts("END") == {"job": 1}
    assert lab.counts() == {"finished": 1}


def test_a_second_ctrl_c_releases_the_running_jobs_of_a_pool(lab):
    lab.jobs.hold.enqueue("job", str(lab.gate()))
    program = run_pool(lab, HOLDING_POOL)
    read_until(program, "pool started")
    lab.wait_started("job")
    os.killpg(program.pid, signal.SIGINT)
    read_until(program, "stopping, waiting for running jobs")
    os.killpg(program.pid, signal.SIGINT)
    assert "stopping immediately, releasing running jobs" in end(program)
    assert lab.counts() == {"queued": 1}


def test_a_pool_that_cannot_start_raises(lab):
    body = """
    from fastjobs import PoolNotStarted
    try:
        with app.pool(app="nosuch:app", processes=1):
            print("inside", flush=True)
    except PoolNotStarted as error:
        print(error.exit_code, error, flush=True)
    """
    output = end(run_pool(lab, body))
    assert "2 the worker ended with exit code 2 before it was ready; see what it logged" in output
    assert "cannot load the app" in output
    assert "inside" not in output


NESTED_APP = """
from fastjobs import FastJobs
app = FastJobs()

@app.job(retries=0)
def nests():
    app.pool(processes=1).start()
"""


def test_a_job_cannot_start_a_pool(lab):
    (lab.directory / "nested.py").write_text(NESTED_APP)
    job = lab.app.job(name="nests", retries=0)(print).enqueue()
    assert lab.worker("--burst", app="nested.py").wait() == 0
    assert (
        job.refresh().error.message == "a process of a worker cannot start a pool, which would be a worker in a worker"
    )


def test_a_worker_is_dropped_from_the_list_when_it_stops(lab):
    workers = f"{{fastjobs:{lab.namespace}}}:workers"
    worker = lab.worker().wait_ready()
    lab.wait(lambda: lab.redis.hlen(workers) == 1, "the worker is listed")
    (entry,) = [orjson.loads(value) for value in lab.redis.hvals(workers)]
    assert entry["queues"] == ["default", "other", "third"]
    assert worker.stop() == 0
    assert lab.redis.hlen(workers) == 0


def test_several_workers_share_the_work(lab):
    lab.jobs.note.enqueue_many(range(500))
    workers = [lab.worker("--burst") for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert lab.ledger.counts("END") == {str(key): 1 for key in range(500)}


def test_a_server_that_may_drop_jobs_is_refused(namespace, tmp_path):
    with ServerProcess("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as process:
        lab = Lab(process, namespace, tmp_path)
        try:
            worker = lab.worker()
            assert worker.wait() == 2
            assert "maxmemory-policy must be noeviction policy=allkeys-lru" in worker.log
        finally:
            lab.close()
