"""Orders to running workers: quiet, stop, pause, cancel; what the list of workers tells; schedules that are met."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastjobs import Status


def workers(lab):
    return lab.app.workers.list()


def test_the_list_of_workers_tells_what_is_running_and_since_when(lab):
    job = lab.jobs.hold.enqueue("job", str(lab.gate()))
    worker = lab.worker("-p", "2")
    lab.wait_started("job")
    lab.wait(lambda: workers(lab) and workers(lab)[0].running, "the worker tells what it runs")
    (told,) = workers(lab)
    assert told.name.endswith(f":{worker.pid}")
    assert (told.processes, told.threads, told.quiet) == (2, 1, False)
    (running,) = told.running
    assert running.id == job.id
    assert running.pid in told.pids
    assert running.seconds >= 0
    lab.gate().touch()
    lab.wait_ended("job")
    assert worker.stop() == 0
    assert workers(lab) == []


def test_a_quiet_worker_ends_what_it_runs_and_starts_nothing_more(lab):
    lab.jobs.hold.enqueue_many([(number, str(lab.gate())) for number in range(3)])
    worker = lab.worker()
    lab.wait_started(0)
    lab.wait(lambda: workers(lab), "the worker is listed")
    lab.app.workers.quiet(workers(lab)[0])
    lab.wait(lambda: workers(lab)[0].quiet, "the worker is quiet")
    lab.wait(lambda: lab.counts().get("queued") == 2, "what is not started is given back")
    lab.gate().touch()
    lab.wait_ended(0)
    lab.wait(lambda: lab.counts() == {"finished": 1, "queued": 2}, "the running job has finished")
    lab.burst()
    assert worker.process.poll() is None
    assert lab.counts() == {"finished": 3}
    assert lab.ledger.counts("START") == {"0": 1, "1": 1, "2": 1}


def test_a_worker_that_is_told_to_stop_drains_and_ends_with_0(lab):
    lab.jobs.hold.enqueue("job", str(lab.gate()))
    worker = lab.worker()
    lab.wait_started("job")
    lab.wait(lambda: workers(lab), "the worker is listed")
    lab.app.workers.stop(workers(lab)[0])
    worker.wait_for_log("stop requested by an operator")
    lab.gate().touch()
    assert worker.wait() == 0
    assert lab.counts() == {"finished": 1}


def test_a_paused_queue_holds_workers_up_and_resuming_wakes_them(lab):
    lab.app.queue("default").pause()
    lab.worker().wait_ready()
    lab.jobs.note.enqueue("held-up")
    lab.jobs.note.options(queue="other").enqueue("elsewhere")
    assert lab.counts() == {"queued": 1}
    lab.app.queue("default").resume()
    lab.wait_ended("held-up")


def test_jobs_start_in_the_order_they_are_due_and_never_before(lab):
    lab.worker().wait_ready()
    due = datetime.now(UTC) + timedelta(seconds=1)
    jobs = [lab.jobs.note.options(at=due + timedelta(milliseconds=50 * place)).enqueue(place) for place in (3, 1, 2, 0)]
    lab.wait_ended(0, 1, 2, 3)
    assert lab.ledger.keys("START") == ["0", "1", "2", "3"]
    lab.wait(lambda: lab.count(Status.FINISHED) == 4, "all is acked")
    for job, place in zip(jobs, (3, 1, 2, 0), strict=True):
        started_at = job.refresh().started_at
        assert started_at is not None
        assert started_at >= due + timedelta(milliseconds=50 * place)


def test_many_jobs_due_in_one_instant_all_run_and_hold_up_nothing_else(lab):
    due = datetime.now(UTC) + timedelta(seconds=1)
    lab.app.enqueue_many(lab.jobs.number.options(at=due).call(number) for number in range(3_000))
    for number in range(3_000, 3_300):
        lab.jobs.number.options(at=due).enqueue(number)
    lab.worker("-p", "2").wait_ready(2)
    lab.jobs.note.options(priority=1).enqueue("ahead")
    lab.wait_ended("ahead")
    lab.wait(lambda: len(lab.ledger.number_counts()) == 3_300, "all jobs have run", timeout_s=60)
    assert set(lab.ledger.number_counts().values()) == {1}


def test_an_executing_job_is_cancelled_by_the_next_heartbeat(lab):
    job = lab.jobs.hold.enqueue("job", str(lab.gate()))
    behind = lab.jobs.hold.enqueue("behind", str(lab.gate("other")))
    lab.worker()
    lab.wait_started("job")
    assert job.cancel().status is Status.EXECUTING
    lab.wait(lambda: job.refresh().status is Status.CANCELLED, "the job ends cancelled")
    assert job.error is not None
    assert job.error.type == "JobCancelled"
    lab.wait_started("behind")
    assert behind.refresh().status is Status.EXECUTING
    lab.gate("other").touch()
    lab.wait(lambda: lab.counts() == {"finished": 1, "cancelled": 1}, "its neighbour finishes")
    assert lab.ledger.count("END", "job") == 0


def test_all_executing_and_waiting_jobs_are_cancelled_at_once(lab):
    lab.jobs.hold.enqueue_many([(number, str(lab.gate())) for number in range(50)])
    lab.worker("-p", "2", "-c", "3")
    lab.wait(lambda: len(lab.ledger.keys("START")) == 6, "all threads are busy")
    assert lab.app.jobs.where(type="hold").cancel_all() == 50
    lab.wait(lambda: lab.counts() == {"cancelled": 50}, "all jobs end cancelled")
    assert lab.ledger.keys("END") == []
    assert len(lab.ledger.keys("START")) == 6


def test_jobs_that_turn_out_to_be_slow_are_shared_with_idle_processes(lab):
    lab.app.enqueue_many([lab.jobs.number.call(number) for number in range(20_000)])
    lab.jobs.take.options(queue="slow").enqueue_many([(number, 0.02) for number in range(200)])
    lab.worker("-p", "2", "-Q", "default,slow").wait_ready(2)
    lab.wait(lambda: len(lab.ledger.keys("END")) == 200, "the slow jobs have run")
    by_process = {}
    for entry in lab.ledger.entries():
        if entry.what == "START":
            by_process[entry.pid] = by_process.get(entry.pid, 0) + 1
    assert len(by_process) == 2
    assert min(by_process.values()) >= 50
