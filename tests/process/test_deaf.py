"""A process that looks alive but fetches nothing is worse than a dead one: it is noticed, said and replaced."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastjobs import Status
from fastjobs.config import Config
from fastjobs.server.connection import Client
from fastjobs.store.store import Store
from fastjobs.worker.process.waker import Fetch, Waker, Woken
from tests.harness.proxy import Behaviour, Proxy
from tests.harness.server import ServerProcess
from tests.harness.waiting import wait_until
from tests.harness.worker import PATIENCE_S, Lab, Worker

DEAF_S = 2.0
SOON = {"FASTJOBS_DEAF_AFTER_S": str(DEAF_S)}
SAID = "process stopped fetching, replacing it"


def ready_child(worker: Worker) -> int:
    (child,) = worker.wait_ready().children()
    return child


def let_pass(seconds: float) -> None:
    """Time itself is what this waits for: there is no other condition."""
    time.sleep(seconds)


def test_a_process_whose_main_loop_hangs_is_replaced_and_its_jobs_go_on(lab: Lab) -> None:
    worker = lab.worker(env=SOON)
    first = ready_child(worker)
    lab.jobs.wedge.enqueue("wedge", str(lab.gate("flag")))
    lab.wait_ended("wedge")
    ids = lab.jobs.note.enqueue_many(range(20))
    lab.wait_ended(*range(20))
    assert SAID in worker.log
    assert f"process did not exit in time, killing it pid={first}" in worker.log
    assert set(worker.children()).isdisjoint({first})
    lab.wait(lambda: lab.counts() == {"finished": 21}, "all have finished")
    assert set(lab.ledger.counts("START").values()) == {1}
    assert [lab.app.jobs.find(job_id).attempts for job_id in ids] == [0] * 20
    assert worker.stop() == 0


def test_a_frozen_process_is_replaced_and_the_job_it_ran_is_charged(lab: Lab) -> None:
    job = lab.jobs.hold.enqueue("held", str(lab.gate()))
    worker = lab.worker("-c", "2", "--shutdown-timeout", "0", env=SOON)
    child = ready_child(worker)
    lab.wait_started("held")
    os.kill(child, signal.SIGSTOP)
    worker.wait_for_log(SAID)
    worker.wait_for_log("settled jobs of a dead process")
    lab.gate().touch()
    lab.wait(lambda: lab.counts() == {"finished": 1}, "the job has run again")
    assert lab.ledger.counts("START") == {"held": 2}
    job.refresh()
    assert (job.attempts, job.error.message) == (
        1,
        "the process that ran the job was killed: it had stopped fetching",
    )


def test_jobs_that_take_long_in_all_threads_are_left_alone(lab: Lab) -> None:
    worker = lab.worker(env=SOON)
    child = ready_child(worker)
    lab.jobs.hold_gil.enqueue("long", 2 * DEAF_S)
    lab.wait_ended("long")
    lab.jobs.note.enqueue("after")
    lab.wait_ended("after")
    assert (worker.children(), SAID in worker.log) == ([child], False)
    assert lab.ledger.counts("START") == {"long": 1, "after": 1}


def test_a_worker_with_nothing_to_fetch_keeps_its_processes(lab: Lab) -> None:
    """Full, paused, quiet or idle: each is a good reason."""
    lab.app.queue("other").pause()
    lab.jobs.other.enqueue("paused")
    lab.jobs.hold.enqueue("held", str(lab.gate()))
    full = lab.worker("-Q", "default", env=SOON)
    lab.wait_started("held")
    workers = [full, lab.worker("-Q", "other", env=SOON), lab.worker("-Q", "third", "-c", "2", env=SOON)]
    children = [ready_child(worker) for worker in workers]
    let_pass(2 * DEAF_S)
    assert [worker.children() for worker in workers] == [[child] for child in children]
    assert not any(SAID in worker.log for worker in workers)
    lab.gate().touch()
    lab.app.queue("other").resume()
    lab.wait_ended("held", "paused")


def test_an_outage_is_not_taken_for_deafness(own_server_lab: Lab) -> None:
    lab = own_server_lab
    worker = lab.worker(env={**SOON, "FASTJOBS_SOCKET_TIMEOUT_S": "0.5"})
    child = ready_child(worker)
    lab.server.freeze()
    let_pass(2 * DEAF_S)
    lab.server.thaw()
    lab.jobs.note.enqueue("after")
    lab.wait_ended("after")
    assert (worker.children(), SAID in worker.log) == ([child], False)


# Reconnecting.


@pytest.fixture
def proxy(own_server_lab: Lab) -> Iterator[Proxy]:
    with Proxy(own_server_lab.server.socket, tcp=True) as made:
        yield made


def test_after_each_of_a_hundred_lost_connections_the_next_job_is_run(own_server_lab: Lab, proxy: Proxy) -> None:
    lab = own_server_lab
    # A lease that outlasts each harm, also on a busy machine: a process whose lease has run out is rightly replaced.
    worker = lab.worker("-c", "2", env={"FASTJOBS_URL": proxy.url, "FASTJOBS_LEASE_S": "4"})
    child = ready_child(worker)

    def kill_clients() -> None:
        lab.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def end_all() -> None:
        proxy.behave(Behaviour.REFUSE)
        proxy.heal()

    def restart_server() -> None:
        lab.server.kill()
        lab.redis.close()
        lab.server.start()

    harms: list[Callable[[], None]] = [
        kill_clients,
        end_all,
        lambda: proxy.behave(Behaviour.CUT_AFTER_REQUEST, 1),
        lambda: proxy.behave(Behaviour.RESET, 1),
        lambda: proxy.behave(Behaviour.GARBLE, 1),
        lambda: proxy.behave(Behaviour.CUT_BEFORE_REQUEST, 1),
    ]
    for number in range(100):
        if number % 20 == 19:
            restart_server()
        else:
            harms[number % len(harms)]()
        lab.jobs.note.enqueue(number)
        lab.wait(lambda number=number: lab.ledger.count("END", number), f"job {number} runs", timeout_s=10)
    assert (worker.children(), SAID in worker.log) == ([child], False)
    assert len(lab.ledger.keys("END")) == 100
    assert worker.stop() == 0


@pytest.mark.parametrize("behaviour", [Behaviour.BLACKHOLE, Behaviour.HALF_CLOSE])
def test_an_idle_worker_whose_connections_are_half_open_hears_again(
    own_server_lab: Lab, proxy: Proxy, behaviour: Behaviour
) -> None:
    lab = own_server_lab
    worker = lab.worker(env={"FASTJOBS_URL": proxy.url, "FASTJOBS_SOCKET_TIMEOUT_S": "0.5"})
    child = ready_child(worker)
    for number in range(3):
        proxy.behave(behaviour)
        wait_until(lambda before=proxy.harmed: proxy.harmed > before + 2, PATIENCE_S, "replies are swallowed")
        proxy.heal()
        lab.jobs.note.enqueue(number)
        lab.wait(lambda number=number: lab.ledger.count("END", number), f"job {number} runs", timeout_s=10)
    assert worker.children() == [child]
    assert lab.app.jobs.count(Status.EXECUTING) == 0


def test_a_wait_for_hints_that_nobody_answers_is_given_up(server: ServerProcess, namespace: str) -> None:
    with Proxy(server.socket) as proxy, server.client() as redis:
        client = Client(proxy.url, 0.3)
        store = Store(client, Config(namespace=namespace))
        store.batch().open("default", "session").run()
        waker = Waker(store, client, "session")
        waker.add_partitions(["default"])
        waker.arm(0.1, [Fetch("default", 1, 1)], [])
        asked = waker.fileno()
        proxy.behave(Behaviour.BLACKHOLE)
        woken: list[Woken] = []

        def wakes() -> bool:
            woken.extend(filter(None, [waker.take()]))
            return bool(woken)

        wait_until(wakes, PATIENCE_S, "it gave up")
        # What was to be fetched may have been: it has to be asked for again.
        assert woken.pop() == Woken(hint=None, leases=None)
        assert asked >= 0
        assert waker.fileno() < 0
        proxy.heal()
        redis.lpush(store.keys("default").wake, "")
        waker.arm(1, [], [])
        wait_until(wakes, PATIENCE_S, "the hint came")
        assert woken == [Woken(hint="default", leases=[])]
        store.client.close()


def test_only_connections_and_control_lines_read_sockets() -> None:
    """Both have a deadline or never block; whatever else reads one has to be looked at."""
    package = Path(__file__).parents[2] / "fastjobs"
    words = (
        ".recv(",
        ".recv_into(",
        "receive_into(",
        ".readline(",
        "makefile(",
        "create_connection(",
        "read_response(",
        ".parse_response(",
    )
    readers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(word in path.read_text() for word in words)
    }
    assert readers == {"server/connection.py", "worker/control.py"}
