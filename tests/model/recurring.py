"""The state machine of recurring jobs: definitions that change, racing tickers, runs that end in every way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fastjobs._core import ChunkWriter, new_id
from fastjobs.config import Config
from fastjobs.model.definition import Definition
from fastjobs.model.outcome import Outcome, Run
from fastjobs.model.refs import run_id
from fastjobs.model.schedules import Every
from fastjobs.server.connection import Client
from fastjobs.store.replies import Defined
from fastjobs.store.store import Store
from tests.harness.queue import record
from tests.harness.server import ServerProcess
from tests.harness.snapshot import check_invariants, take_snapshot
from tests.model.clock import TestClock

QUEUE = "q"
IDS = ("tick", "tock")
ids = st.sampled_from(IDS)


@dataclass
class ModelDefinition:
    definition: Definition
    due_ms: int
    paused: bool = False
    last_run: str | None = None


class RecurringMachine(RuleBasedStateMachine):
    """Two definitions, two tickers, one clock."""

    server: ServerProcess
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        config = Config(namespace=new_id(), lease_s=60, finished_keep=1000, finished_keep_s=60)
        self.redis = self.server.client()
        self.store = Store(Client(self.server.url), config)
        self.keys = self.store.keys(QUEUE)
        self.clock = TestClock(self.redis, self.keys.chunks.removesuffix(b"chunks"))
        self.defined: dict[str, ModelDefinition] = {}
        #: Run id -> status, of all runs that were ever fired, in order.
        self.runs: dict[str, str] = {}
        self.numbers = Counter[str]()

    def teardown(self) -> None:
        for key in self.redis.keys(f"{{fastjobs:{self.store.config.namespace}:*"):
            self.redis.delete(key)
        self.store.client.close()
        self.redis.close()

    def read(self, name: str) -> Definition:
        """The definition as a ticker reads it."""
        stored = self.redis.hget(self.keys.recurring, name)
        assert stored is not None
        return Definition.decode(name, stored)

    def is_held_up(self, model: ModelDefinition) -> bool:
        live = model.last_run is not None and self.runs[model.last_run] in ("queued", "retrying")
        return model.definition.overlap == "skip" and live

    @rule(
        name=ids,
        version=st.integers(0, 2),
        interval_ms=st.sampled_from((1_000, 5_000)),
        missed=st.sampled_from(("latest", "skip", "all")),
    )
    def define(self, name: str, version: int, interval_ms: int, missed: str) -> None:
        definition = Definition(
            id=name,
            schedule=Every(interval_ms, 0),
            type="work",
            payload=[{}],
            version=version,
            missed=missed,
            missed_limit=3,
            overlap="allow" if missed == "all" else "skip",
        )
        first_ms = definition.schedule.first(self.clock.now_ms)
        what, stored = self.store.batch().define_recurring(QUEUE, definition, first_ms).run()
        model = self.defined.get(name)
        if model is None:
            assert what is Defined.CREATED
            self.defined[name] = ModelDefinition(definition, first_ms)
        elif version < model.definition.version:
            assert what is Defined.REFUSED
        elif definition == model.definition:
            assert what is Defined.SAME
        else:
            assert what is Defined.CHANGED
            if definition.schedule != model.definition.schedule:
                model.due_ms = first_ms
            model.definition = definition
        assert stored == self.redis.hget(self.keys.recurring, name)

    @precondition(lambda self: self.defined)
    @rule(name=ids, second=st.sampled_from(("after", "late", "none", "overtaken")))
    def tick(self, name: str, second: str) -> None:
        """Two tickers have read the same; the first one wins, and the other, who may be very late, changes nothing.

        Nor does one that was overtaken by a change of the definition.
        """
        model = self.defined.get(name)
        if model is None:
            return
        read = self.read(name)
        now_ms = self.clock.now_ms
        dues, next_ms = read.runs_due(now_ms), read.schedule.following(read.due_ms, now_ms)
        blob = read.pack(ChunkWriter(), now_ms)
        if second == "overtaken":
            self.numbers["priority"] += 1
            model.definition = replace(model.definition, priority=self.numbers["priority"])
            what, _ = self.store.batch().define_recurring(QUEUE, model.definition, model.due_ms).run()
            assert what is Defined.CHANGED
            assert self.store.batch().recur(QUEUE, read, next_ms, blob, dues).run() == -1
            return
        fired = self.store.batch().recur(QUEUE, read, next_ms, blob, dues).run()
        if model.paused or model.due_ms > now_ms:
            assert fired == -1
        else:
            self.fire(model, name, dues, fired)
            assert next_ms > now_ms
            model.due_ms = next_ms
        if second == "late":
            self.pass_time(7_000)
        if second != "none":
            before = take_snapshot(self.redis, self.keys)
            assert self.store.batch().recur(QUEUE, read, next_ms, blob, dues).run() == -1
            assert take_snapshot(self.redis, self.keys) == before

    def fire(self, model: ModelDefinition, name: str, dues: list[int], fired: int) -> None:
        if self.is_held_up(model):
            assert fired == 0
            return
        new = [run_id(name, due_ms) for due_ms in dues if run_id(name, due_ms) not in self.runs]
        assert fired == len(new), "a due instant was fired twice, or not at all"
        self.runs.update(dict.fromkeys(new, "queued"))
        if dues:
            model.last_run = run_id(name, dues[-1])

    @rule(name=ids)
    def run_now(self, name: str) -> None:
        model = self.defined.get(name)
        if model is None:
            return
        self.numbers[name] += 1
        read, job_id = self.read(name), run_id(name, f"now{self.numbers[name]}")
        reply = self.store.batch().run_recurring(QUEUE, read, read.pack(ChunkWriter(), 0), job_id)
        answer = reply.run()
        if self.is_held_up(model):
            assert answer == (0, model.last_run)
            return
        assert answer == (1, job_id)
        assert reply.run() == (1, job_id)
        self.runs[job_id] = "queued"
        model.last_run = job_id

    @rule(name=ids)
    def pause(self, name: str) -> None:
        found = self.store.batch().pause_recurring(QUEUE, name).run()
        assert found == (name in self.defined)
        if found:
            self.defined[name].paused = True

    @rule(name=ids)
    def resume(self, name: str) -> None:
        model = self.defined.get(name)
        if model is None:
            return
        read = self.read(name)
        due_ms = read.schedule.following(read.due_ms, self.clock.now_ms)
        assert self.store.batch().resume_recurring(QUEUE, read, due_ms).run() == 1
        if model.paused:
            model.paused, model.due_ms = False, due_ms

    @rule(name=ids, sure=st.integers(0, 3))
    def cancel(self, name: str, sure: int) -> None:
        if sure:
            return
        assert self.store.batch().cancel_recurring(QUEUE, name).run() == (name in self.defined)
        self.defined.pop(name, None)

    @rule(fate=st.sampled_from(("finished", "failed", "retrying")))
    def work(self, fate: str) -> None:
        """A worker runs all that is queued, and it ends in one way."""
        session = new_id()
        batch = self.store.batch()
        batch.open(QUEUE, session)
        lease = batch.fetch(QUEUE, session, 1, 100).run()
        for span in lease.spans:
            chunk_id = span.ref.partition("~")[0]
            detached = "~" in span.ref
            if fate == "finished" and not detached:
                runs, outcomes = [Run(chunk_id, 1, 0, 1, bytes(8) + b"\0", bytes(8), 60_000)], []
            else:
                body = record(chunk_id)
                n = 0 if detached else 1
                runs, outcomes = [], [Outcome(span.ref, n, 0, fate, 2_000, 0, 60_000, "work", body)]
            assert self.store.batch().ack(QUEUE, session, lease.fence, runs, outcomes).run() == 1
            assert self.runs[chunk_id] in ("queued", "retrying"), "a run that had ended was run again"
            self.runs[chunk_id] = fate
        self.store.batch().close(QUEUE, session).run()

    @rule(by_ms=st.sampled_from((1, 300, 1_000, 4_000)))
    def pass_time(self, by_ms: int) -> None:
        self.clock.advance(by_ms)

    @rule()
    def forget_scripts(self) -> None:
        self.redis.script_flush()

    @invariant()
    def definitions_go_on_and_runs_are_what_was_fired(self) -> None:
        type(self).steps += 1
        snapshot = take_snapshot(self.redis, self.keys)
        met = check_invariants(snapshot)
        assert {name.decode() for name in snapshot["recurring"]} == set(self.defined)
        due = {name.decode(): int(at) for name, at in snapshot["recurring_due"].items()}
        # An active definition is always due some time: nothing that happens to its runs stops it.
        assert due == {name: model.due_ms for name, model in self.defined.items() if not model.paused}
        for name, model in self.defined.items():
            stored = Definition.decode(name, snapshot["recurring"][name.encode()])
            assert (stored.due_ms, stored.paused, stored.last_run_id) == (model.due_ms, model.paused, model.last_run)
            assert stored.version == model.definition.version
        promoted = {"queued": "retrying", "retrying": "retrying"}
        found = {ref.partition("~")[0]: status for ref, status in met.items()}
        assert found.keys() == self.runs.keys(), "runs that were fired and runs that are stored"
        for name, status in self.runs.items():
            assert found[name] == status or found[name] == promoted.get(status), name
        assert int(snapshot["stats"].get(b"enqueued_total", 0)) == len(self.runs)
