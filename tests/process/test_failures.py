"""What becomes of jobs that raise, do not fit, cannot be read, or are known to nobody; the worker goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastjobs import FastJobs, Status
from fastjobs.server.connection import Client
from fastjobs.store.store import Store
from tests.apps.handlers import RAISERS, UNRUN
from tests.harness import plain_codec
from tests.harness.queue import origin
from tests.harness.worker import Lab, Worker, troubles


@pytest.fixture(scope="module")
def exploded(server, tmp_path_factory):
    """One run of every kind of exception, and of jobs around them."""
    lab = Lab(server, "exploded", tmp_path_factory.mktemp("exploded"))
    jobs = {kind: lab.jobs.explode.enqueue(kind) for kind in RAISERS}
    lab.jobs.note.enqueue_many(range(10))
    log = lab.burst("-c", "2").log
    yield lab, jobs, log
    lab.close()


@pytest.mark.parametrize("kind", sorted(RAISERS))
def test_a_job_that_raises_fails_with_its_error(exploded, kind):
    _, jobs, _ = exploded
    job = jobs[kind].refresh()
    assert job.status == Status.FAILED
    assert job.attempts == 1
    assert job.args == [kind]
    assert job.error is not None


@pytest.mark.parametrize(
    ("kind", "type_", "message"),
    [
        ("Exception", "Exception", "plain"),
        ("SystemExit", "SystemExit", "0"),
        ("KeyboardInterrupt", "KeyboardInterrupt", ""),
        ("BaseException", "BaseException", "base"),
        ("GeneratorExit", "GeneratorExit", ""),
        ("ExceptionGroup", "ExceptionGroup", "group (2 sub-exceptions)"),
        ("Hostile", "Hostile", "(its text cannot be made: RuntimeError)"),
        ("VeryHostile", "VeryHostile", "(its text cannot be made: SystemExit)"),
        ("Untraceable", "Untraceable", ""),
        ("Nameless", "Nameless", "plain"),
        ("Misnamed", "Misnamed", "plain"),
        ("Shapeless", "Shapeless", "plain"),
        ("odd text", "OddlyWorded", "odd"),
        ("odd syntax", "SyntaxError", "odd"),
        ("long name", "x" * 200, "plain"),
        ("surrogate", "ValueError", "bad ? text"),
        ("long", "ValueError", "x" * 2000),
        ("cycle", "ValueError", "one"),
        ("discard", "Discard", "not worth it"),
    ],
)
def test_type_and_message_are_kept(exploded, kind, type_, message):
    error = exploded[1][kind].refresh().error
    assert (error.type, error.message) == (type_, message)


#: Raised elsewhere, or at the end of a chain that is longer than what is kept.
_NO_TRACEBACK = {"type_error", "recursion", "long chain"}


@pytest.mark.parametrize("kind", sorted(set(RAISERS) - _NO_TRACEBACK))
def test_the_traceback_begins_with_the_handler(exploded, kind):
    lines = exploded[1][kind].refresh().error.traceback.splitlines()
    frames = [line for line in lines if line.lstrip(" |").startswith("File ")]
    assert ", in explode" in frames[0], lines[:10]
    assert not any(".pxi" in line or "fastjobs/worker" in line for line in frames)


def test_a_long_message_does_not_push_the_frames_out(exploded):
    traceback = exploded[1]["long"].refresh().error.traceback
    assert "in explode" in traceback
    assert len(traceback) <= 4_000


def test_an_endless_recursion_is_an_error_like_any_other(exploded):
    error = exploded[1]["recursion"].refresh().error
    assert error.type == "RecursionError"
    assert "_recurse" in error.traceback


def test_the_parts_of_a_group_are_in_the_traceback(exploded):
    traceback = exploded[1]["ExceptionGroup"].refresh().error.traceback
    assert "ValueError: inner" in traceback
    assert "OSError: other" in traceback


def test_jobs_beside_those_that_raise_run_once(exploded):
    lab, _, log = exploded
    assert lab.ledger.counts("END") == {str(key): 1 for key in range(10)}
    assert "process killed" not in log
    assert "process exited" not in log


def test_whatever_a_job_raises_is_recorded_run_after_run_and_harms_no_other_job(lab):
    """Fault C18. From its second run on, a job has a record, which keeps what was raised before."""
    explode = lab.jobs.explode.options(retries=2, retry_delay=0.01)
    jobs = {kind: explode.enqueue(kind) for kind in sorted(set(RAISERS) - {"discard"})}
    many = lab.jobs.explode.options(retries=2, retry_delay=0).enqueue_many(sorted(jobs))
    lab.jobs.note.enqueue_many(range(20))
    log = lab.burst("-c", "2").log
    found = [*jobs.values(), *map(lab.app.jobs.find, many)]
    assert {(job.args[0], job.refresh().status, job.attempts, len(job.errors)) for job in found} == {
        (kind, Status.FAILED, 3, 3) for kind in jobs
    }
    assert not [job for job in found if job.error.type == "Unrecordable"]
    assert lab.ledger.counts("START") == {str(key): 1 for key in range(20)}
    assert not troubles(log)


def test_a_job_whose_later_runs_cannot_be_recorded_is_not_held_for_ever(lab):
    """Fault C18."""
    jobs = [lab.jobs.explode_later.enqueue(number, kind) for number, kind in enumerate(["Misnamed", "Shapeless"])]
    log = lab.burst().log
    assert [(job.refresh().status, job.attempts) for job in jobs] == [(Status.FAILED, 3)] * 2
    assert lab.holds_nothing()
    assert not troubles(log)


def test_nothing_is_left_of_chunks_whose_jobs_failed(lab):
    lab.jobs.explode.enqueue_many([kind for kind in sorted(RAISERS) for _ in range(3)])
    lab.burst("-c", "3")
    assert lab.counts() == {"failed": 3 * len(RAISERS)}
    assert lab.redis.hlen(lab.key("chunks")) == 0
    assert lab.redis.hlen(lab.key("marks")) == 0


@pytest.mark.parametrize("job_type", ["fail_number", "fail_list", "fail_function"])
def test_a_job_is_retried_with_its_delays_until_it_succeeds(lab, job_type):
    job = getattr(lab.jobs, job_type).enqueue("job", 3)
    lab.burst()
    assert lab.ledger.counts("START") == {"job": 4}
    assert job.refresh().status == Status.FINISHED
    assert [error.message for error in job.errors] == ["attempt 1", "attempt 2", "attempt 3"]
    assert job.attempts == 3


def test_a_job_fails_for_good_after_its_retries(lab):
    job = lab.jobs.fail_number.options(retries=2).enqueue("job", 9)
    lab.burst()
    assert lab.ledger.counts("START") == {"job": 3}
    assert job.refresh().status == Status.FAILED
    assert job.attempts == 3


def test_a_calls_own_delays_are_used(lab):
    job = lab.jobs.fail_default.options(retries=2, retry_delay=[0.0, 0.01]).enqueue("job", 2)
    lab.burst()
    assert job.refresh().status == Status.FINISHED


def test_the_default_delay_is_at_most_a_second_at_first(lab):
    job = lab.jobs.fail_default.enqueue("job", 1)
    worker = lab.worker()
    worker.wait_for_log(r"job will be retried .*error=ValueError delay_ms=")
    milliseconds = int(worker.log.split("delay_ms=")[1].split()[0])
    assert 0 <= milliseconds <= 1000
    lab.wait_ended("job")
    assert worker.stop() == 0
    assert job.refresh().status == Status.FINISHED


def test_a_delay_function_that_returns_an_odd_number_harms_no_process(lab):
    job = lab.jobs.fail_odd.enqueue("job", 1)
    log = lab.burst().log
    assert job.refresh().status == Status.FINISHED
    assert not troubles(log)


@pytest.mark.parametrize("job_type", ["fail_broken", "fail_exiting"])
def test_a_broken_delay_function_costs_no_job(lab, job_type):
    job = getattr(lab.jobs, job_type).enqueue("job", 1)
    log = lab.burst().log
    assert job.refresh().status == Status.FINISHED
    assert job.errors[0].type == "ValueError"
    assert "retry_delay failed" in log
    assert log.count("Traceback") == log.count("ValueError: attempt 1") == 1


@pytest.mark.parametrize("in_", [0.0, 0.05])
def test_a_handler_can_ask_to_run_again(lab, in_):
    job = lab.jobs.ask_again.enqueue("job", in_)
    lab.burst()
    assert lab.ledger.counts("START") == {"job": 2}
    assert job.refresh().status == Status.FINISHED
    assert job.errors[0].type == "Retry"


@pytest.mark.parametrize("in_", [1e300, 1_700_000_000_000_000_000, -5, "5", [60], True])
def test_a_handler_that_asks_for_a_delay_that_is_none_gets_the_default_and_harms_no_other_job(lab, in_):
    job = lab.jobs.ask_again.enqueue("job", in_)
    lab.jobs.note.enqueue_many(range(20))
    log = lab.burst().log
    assert lab.ledger.counts("START") == {"job": 2, **{str(key): 1 for key in range(20)}}
    assert job.refresh().status == Status.FINISHED
    assert "retry_delay failed, using the default" in log
    assert "Traceback" not in log
    assert "process exited" not in log


def test_discard_ends_the_retries(lab):
    job = lab.jobs.explode.options(retries=5).enqueue("discard")
    lab.burst()
    assert job.refresh().status == Status.FAILED
    assert job.attempts == 1


def test_arguments_that_do_not_fit_are_not_tried_again(lab):
    job = lab.jobs.note.options(retries=5).enqueue(1, 2, 3)
    lab.burst()
    assert job.refresh().status == Status.FAILED
    assert job.attempts == 1
    assert job.error.type == "TypeError"
    assert "positional argument" in job.error.message


@pytest.mark.parametrize("kind", sorted(UNRUN))
def test_a_job_whose_handler_returns_what_nothing_has_run_fails_at_once(lab, kind):
    """Fault C10."""
    job = lab.jobs.return_unrun.options(retries=5).enqueue(kind)
    lab.jobs.note.enqueue("other")
    lab.burst()
    assert job.refresh().status == Status.FAILED
    assert (job.attempts, job.error.type) == (1, "TypeError")
    assert f"the handler returned a {kind}, which nothing has run" in job.error.message
    assert lab.ledger.counts("END") == {"other": 1}


def test_a_parameter_called_self_gets_its_argument(lab):
    lab.jobs.of_an_object.enqueue(self="a", key=1)
    lab.jobs.of_an_object.options(priority=1).enqueue("b", key=2)
    lab.jobs.of_an_object.enqueue_many([{"self": "c", "key": 3}, {"self": "d", "key": 4}])
    lab.burst()
    assert lab.ledger.counts("END") == {"a-1": 1, "b-2": 1, "c-3": 1, "d-4": 1}


def test_a_type_error_inside_the_handler_is_tried_again(lab):
    job = lab.jobs.explode.options(retries=2, retry_delay=0.01).enqueue("type_error")
    lab.burst()
    assert job.refresh().attempts == 3
    assert job.error.type == "TypeError"


def test_a_type_nobody_knows_waits_for_a_worker_that_does(lab):
    stranger = FastJobs(lab.server.url, namespace=lab.namespace)
    unknown = stranger.job(name="newer")(lambda: None)
    job = unknown.enqueue()
    lab.jobs.note.enqueue("known")
    worker = lab.worker()
    lab.wait_ended("known")
    worker.wait_for_log(r"unknown job type, jobs postponed chunk=\S+ jobs=1 types=newer\b", times=2)
    lab.wait(lambda: job.refresh().status == Status.SCHEDULED, "the job is postponed")
    assert job.attempts == 0
    assert worker.stop() == 0

    source = "from fastjobs import FastJobs\nfrom tests.apps.handlers import note\napp = FastJobs()\n"
    (lab.directory / "newer.py").write_text(source + "@app.job\ndef newer(): note('newer')\n")
    lab.worker(app="newer.py")
    lab.wait_ended("newer")
    lab.wait(lambda: job.refresh().status == Status.FINISHED, "the job is finished")
    stranger.close()


def test_a_bulk_of_unknown_types_stays_in_its_chunks(lab):
    """Fault C9."""
    stranger = FastJobs(lab.server.url, namespace=lab.namespace)
    newer, newest = (stranger.job(name=name)(lambda key: None) for name in ("newer", "newest"))
    newer.enqueue_many(range(1000))
    stranger.enqueue_many(kind.call(number) for number in range(1000, 1500) for kind in (newer, newest))
    stranger.enqueue_many(kind.call(number) for number in range(1500, 1600) for kind in (newer, lab.jobs.note))
    worker = lab.worker()
    lab.wait_ended(*range(1500, 1600))
    worker.wait_for_log("unknown job type, jobs postponed", times=9)
    lab.wait(lambda: lab.counts() == {"scheduled": 2100, "finished": 100}, "everything is postponed")
    assert worker.stop() == 0
    assert lab.redis.hlen(lab.key("jobs")) == 0
    assert sum(lab.redis.hstrlen(lab.key("marks"), name) for name in lab.redis.hkeys(lab.key("marks"))) < 1000

    source = "from fastjobs import FastJobs\nfrom tests.apps.handlers import note\napp = FastJobs()\n"
    source += "for name in ('note', 'newer', 'newest'): app.job(name=name)(note)\n"
    (lab.directory / "newest.py").write_text(source)
    lab.worker(app="newest.py")
    lab.wait(lambda: lab.counts() == {"finished": 2200}, "all jobs are finished")
    stranger.close()


def stored_chunk(lab: Lab) -> tuple[bytes, bytes]:
    ((chunk_id, stored),) = lab.redis.hgetall(lab.key("chunks")).items()
    return chunk_id, stored


def test_a_damaged_chunk_fails_its_jobs_only(lab):
    ids = lab.jobs.note.enqueue_many(f"bad-{number}" for number in range(5))
    chunk_id, stored = stored_chunk(lab)
    lab.redis.hset(lab.key("chunks"), chunk_id, stored[:-3] + bytes([stored[-3] ^ 0xFF]) + stored[-2:])
    lab.jobs.note.enqueue_many(range(20))
    log = lab.burst().log
    assert lab.ledger.counts("END") == {str(key): 1 for key in range(20)}
    assert lab.counts() == {"finished": 20, "failed": 5}
    job = lab.app.jobs.find(ids[2])
    assert job.status == Status.FAILED
    assert job.error.type == "CorruptChunk"
    assert "Traceback" not in log


def padded(key: str, size: int, **header: int) -> bytes:
    """A compressed chunk of one job that notes a key; its body takes that many bytes, unpacked."""
    body = b'\x01\x04note\0\0["%s",' % key.encode()
    return plain_codec.pack(body + b" " * (size - len(body) - 3) + b"{}]", 1, compressed=True, **header)


def enqueue_packed(lab: Lab, chunks: dict[str, bytes]) -> None:
    """Stores chunks of one job each, by their ids."""
    store = Store(Client(lab.server.url), lab.app.config)
    batch = store.batch()
    batch.list_partition("default")
    for chunk_id, packed in chunks.items():
        batch.enqueue("default", chunk_id, 1, 0, packed, origin())
    batch.run()
    store.client.close()


def test_a_chunk_that_unpacks_to_more_than_it_claims_or_may_fails_its_jobs_only(lab):
    """Fault C27."""
    bombs = {"liar": padded("liar", 200 << 20, raw_size=1000), "bomb": padded("bomb", 200 << 20)}
    enqueue_packed(lab, bombs)
    lab.jobs.note.enqueue_many(range(20))
    worker = lab.worker()
    lab.wait_ended(*range(20))
    lab.wait(lambda: lab.counts() == {"finished": 20, "failed": 2}, "everything is reported")
    assert most_memory(worker) < 150 << 20
    assert {job.error.type for job in lab.app.jobs.list(Status.FAILED).jobs} == {"CorruptChunk"}
    assert worker.stop() == 0


def test_many_chunks_that_unpack_to_many_times_their_size_run_in_bounded_memory(lab):
    """Fault C27."""
    enqueue_packed(lab, {f"id-{number}": padded(str(number), 4 << 20) for number in range(300)})
    worker = lab.worker("-c", "2")
    lab.wait_ended(*range(300))
    assert most_memory(worker) < 250 << 20
    assert worker.stop() == 0


def most_memory(worker: Worker) -> int:
    """The most memory that the one process of a worker has had, in bytes."""
    (child,) = worker.children()
    status = Path(f"/proc/{child}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_jobs_whose_payload_is_gone_fail(lab):
    lab.jobs.note.enqueue_many(f"bad-{number}" for number in range(3))
    chunk_id, _ = stored_chunk(lab)
    lab.redis.hdel(lab.key("chunks"), chunk_id)
    lab.jobs.note.enqueue("good")
    lab.burst()
    assert lab.counts() == {"finished": 1, "failed": 3}
    assert all("missing" in job.error.message for job in lab.app.jobs.list(Status.FAILED).jobs)


@pytest.mark.parametrize("damage", ["gone", "no list", "no job type"])
def test_a_job_without_arguments_that_is_let_run_again_fails_again_and_harms_no_worker(lab, damage):
    lab.jobs.note.enqueue("bad")
    chunk_id, _ = stored_chunk(lab)
    lab.redis.hdel(lab.key("chunks"), chunk_id)
    lab.burst()
    assert lab.app.jobs.where(status=Status.FAILED).retry_all() == 1
    ((ref, stored),) = lab.redis.hgetall(lab.key("jobs")).items()
    if damage != "gone":
        old, new = (b'"payload":null', b'"payload":{"0":1}') if damage == "no list" else (b'"type":""', b'"type":{}')
        assert old in stored
        lab.redis.hset(lab.key("jobs"), ref, stored.replace(old, new, 1))
    lab.jobs.note.enqueue("good")
    log = lab.burst().log
    assert lab.counts() == {"finished": 1, "failed": 1}
    (job,) = lab.app.jobs.list(Status.FAILED).jobs
    assert job.error.type == ("PayloadMissing" if damage == "gone" else "CorruptChunk")
    assert "exited with code" not in log
    assert "Traceback" not in log


#: Options as no release of fastjobs stores them.
ODD_OPTIONS = [
    *(b"[]", b"null", b"{", b"\xff", b'{"timeout_ms":9300000000000}', b'{"timeout_ms":9223372036854775807}'),
    *(b'{"timeout_ms":true}', b'{"timeout_ms":-1}', b'{"expires_at_ms":1e300}', b'{"expires_ms":"1"}'),
    *(b'{"retries":true}', b'{"retries":1e9}', b'{"retry_delay":true}', b'{"retry_delay":[0.01,true]}'),
    *(
        b'{"retry_delay":[]}',
        b'{"retry_delay":[[1]]}',
        b'{"retry_delay":1e300}',
        b'{"later":' + b"[" * 250 + b"]" * 250 + b"}",
    ),
]


def test_options_of_any_kind_are_left_out_and_their_jobs_run(lab):
    """Fault C28."""
    chunks = {
        f"odd-{number}": plain_codec.encode(
            plain_codec.PlainChunk([("fail_number", options)], [0], [plain_codec.payload([number, 1])], 0)
        )
        for number, options in enumerate(ODD_OPTIONS)
    }
    enqueue_packed(lab, chunks)
    log = lab.burst("-c", "2").log
    assert lab.ledger.counts("END") == {str(number): 1 for number in range(len(chunks))}
    assert lab.counts() == {"finished": len(chunks)}
    assert not troubles(log)


DEEP = b"[" * 300 + b"]" * 300


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"errors":[]', b'"errors":[],"later":' + DEEP),
        (b'"errors":[]', b'"errors":[{"type":"a","message":"b","later":' + DEEP + b"}]"),
        (b'"errors":[]', b'"errors":[{"type":"a","message":"b"}' + b',{"type":"a","message":"b"}' * 500 + b"]"),
        (b'"options":{}', b'"options":{"retry_delay":true,"timeout_ms":true}'),
        (b'"options":{}', b'"options":{"later":' + DEEP + b"}"),
        (b'"attempts":0', b'"attempts":-9007199254740991'),
        (b'"crashes":0', b'"crashes":9007199254740991'),
    ],
    ids=["deep field", "deep field of an error", "many errors", "odd options", "deep options", "attempts", "crashes"],
)
@pytest.mark.parametrize("job_type", ["note", "fail_number"])
def test_a_record_of_any_kind_harms_its_job_only(lab, job_type, old, new):
    """Fault C28."""
    arguments = ["odd"] if job_type == "note" else ["odd", 1]
    job = getattr(lab.jobs, job_type).enqueue(*arguments).cancel().reschedule()
    ((ref, stored),) = lab.redis.hgetall(lab.key("jobs")).items()
    assert old in stored
    lab.redis.hset(lab.key("jobs"), ref, stored.replace(old, new, 1))
    lab.jobs.note.enqueue_many(range(20))
    log = lab.burst().log
    assert job.refresh().status in (Status.FINISHED, Status.FAILED)
    assert job.error is None or job.error.type in ("CorruptChunk", "ValueError", "a")
    runs = lab.ledger.counts("START")
    assert {key: runs[key] for key in runs if key != "odd"} == {str(key): 1 for key in range(20)}
    assert not troubles(log)


def test_a_chunk_of_a_newer_format_is_put_off_whole_and_others_run(lab):
    lab.jobs.note.enqueue_many(f"newer-{number}" for number in range(4))
    chunk_id, stored = stored_chunk(lab)
    magic = stored.index(b"FJ")
    lab.redis.hset(lab.key("chunks"), chunk_id, stored[: magic + 2] + b"\x63" + stored[magic + 3 :])
    # Two spans of it, so that one lease has both: only the first comes with the payload.
    ((member, score),) = lab.redis.zrange(lab.key("ready"), 0, -1, withscores=True)
    prefix = member[: member.index(b"~")]
    lab.redis.zrem(lab.key("ready"), member)
    lab.redis.zadd(lab.key("ready"), {prefix + b"~000+1": score, prefix + b"~001+3": score})
    lab.jobs.note.enqueue("good")
    worker = lab.worker("--batch-size", "100")
    lab.wait_ended("good")
    lab.wait(lambda: lab.counts() == {"finished": 1, "scheduled": 4}, "the chunk is put off")
    assert worker.stop() == 0
    assert lab.holds_nothing()
    assert lab.ledger.counts("START") == {"good": 1}


def test_a_payload_near_the_limit_arrives_whole(lab):
    text = "é" * ((1 << 19) - 64)
    lab.jobs.size.enqueue("large", text)
    lab.jobs.size.enqueue_many([("many", text)] * 3)
    lab.burst()
    assert lab.ledger.counts("END") == {f"large:{len(text)}": 1, f"many:{len(text)}": 3}


def test_a_huge_payload_survives_failing(lab):
    text = "x" * ((1 << 20) - 64)
    job = lab.jobs.note.enqueue(text, 1)
    lab.burst()
    assert job.refresh().status == Status.FAILED
    assert job.args == [text, 1]


def test_programs_that_jobs_start_can_be_ended(lab):
    lab.jobs.end_a_subprocess.enqueue("program")
    lab.burst()
    assert lab.ledger.counts("END") == {"program:-15": 1}
