"""One call of each script that writes, on a queue in which each of them has something to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastjobs._core import ChunkWriter
from fastjobs.model.definition import Definition
from fastjobs.model.refs import JobAddress
from fastjobs.model.schedules import Every
from tests.harness.queue import QueueUnderTest, record


def one_call_of_each(queue: QueueUnderTest, enqueue_delay_ms: int = 0) -> dict[str, Callable[[], object]]:
    """One call of each script that writes, each of which has something to do."""

    def call(script: str, *args: Any, **options: Any) -> object:
        batch = queue.store.batch()
        return getattr(batch, script)(queue.name, *args, **options).run()

    def amend() -> object:
        stillness = queue.store.batch().survey_page(queue.name, "stats", b"0", 1).run().stillness
        after = call("amend", stillness, [], [("set_hash", "stats", b"moves", b"7")])
        assert after, "it was refused"
        return after

    queue.enqueue(6, chunk_id="chunk")
    queue.enqueue(chunk_id="due", delay_ms=60_000)
    held = queue.fetch(queue.open("live"), 3)
    queue.seed_due()
    dead = queue.fetch(queue.open("dead"), 1)
    queue.seed_expired("dead")
    tick = due_definition(queue)
    run = tick.pack(ChunkWriter(), 0)
    outcomes = [queue.outcome("chunk", 1, "failed"), queue.outcome("chunk", 2, "retrying")]
    runs = [queue.run("chunk", 6, 0, 1, keep_ms=1000)]
    assert dead.refs
    return {
        "enqueue": lambda: queue.try_enqueue(2, chunk_id="new", delay_ms=enqueue_delay_ms),
        "open": lambda: queue.open("new"),
        "fetch": lambda: queue.fetch("live", 2),
        "ack": lambda: queue.ack(held, runs, outcomes),
        "release": lambda: queue.release(held),
        "postpone": lambda: queue.postpone(held, 1000),
        "renew": lambda: queue.renew("live"),
        "reclaim": lambda: queue.reclaim(),
        "audit": lambda: queue.audit("live"),
        "prioritize": lambda: call("prioritize", JobAddress("chunk", 5, False), "op1", 5, b"", "work", record()),
        "reschedule": lambda: call(
            "reschedule", JobAddress("chunk", 4, False), "op2", ["queued"], b"", "work", record(), delay_ms=1000
        ),
        "cancel": lambda: call("cancel", JobAddress("chunk", 3, False), "op3", "work", record()),
        "destroy": lambda: call("destroy", JobAddress("due", 0, True)),
        "close": lambda: queue.close_session("live"),
        "clear": lambda: call("clear"),
        "trim": lambda: call("trim"),
        "recur": lambda: call("recur", tick, queue.server_ms() + 1000, run, [tick.due_ms]),
        "run_recurring": lambda: call("run_recurring", tick, run, "tick:now"),
        "pause_recurring": lambda: call("pause_recurring", "tick"),
        "resume_recurring": lambda: call("resume_recurring", tick, queue.server_ms()),
        "define_recurring": lambda: call("define_recurring", replace(tick, version=9), 1),
        "cancel_recurring": lambda: call("cancel_recurring", "tick"),
        "amend": amend,
        "forget": lambda: call("forget"),
    }


def due_definition(queue: QueueUnderTest) -> Definition:
    """A recurring job that is due."""
    definition = Definition(id="tick", schedule=Every(1000), type="work", payload=[{}])
    due_ms = queue.server_ms() - 10
    _, stored = queue.store.batch().define_recurring(queue.name, definition, due_ms).run()
    return Definition.decode("tick", stored)
