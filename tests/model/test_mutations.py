"""A check that can not fail proves nothing: with one line of Lua changed, the model has to turn red."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from fastjobs.store import scripts
from tests.harness.server import ServerProcess
from tests.model.__main__ import run
from tests.model.clock import timed_scripts
from tests.model.machine import QueueMachine
from tests.model.recurring import RecurringMachine

pytestmark = pytest.mark.timeout(0)

#: A mutant that survives so many runs is not noticed. Most fall within 2 000 steps; the number is for the unlucky.
RUNS, STEPS = 3000, 60


class Mutant(NamedTuple):
    name: str
    file: str
    line: str
    changed: str


MUTANTS = [
    Mutant(
        "acks are taken from whoever sends them",
        "lib/session",
        "return deadline and tonumber(deadline) > 0",
        "return true",
    ),
    Mutant("a reclaimed session keeps its leases", "reclaim", "  redis.call('ZREM', keys.sessions, session)\n", ""),
    Mutant("finished jobs stay counted as executing", "ack", "    move_count('executing', nil, number)\n", ""),
    Mutant("failed jobs stay counted as executing", "ack", "    move_count('executing', nil, 1)\n", ""),
    Mutant("a lease is not written back after an ack", "ack", "  write_lease(session, fence, entries)\n", ""),
    Mutant(
        "the rest of a span begins one job late",
        "fetch",
        "span_ref(ref, id, first + room, count - room)",
        "span_ref(ref, id, first + room + 1, count - room - 1)",
    ),
    Mutant("a fetch sent again leases more", "fetch", "if last_request == request then", "if false then"),
    Mutant(
        "a fetch does not know paused queues",
        "fetch",
        "local paused = counts[1]\n",
        "local paused = nil\n",
    ),
    Mutant("an old fetch leases", "fetch", "tonumber(request) < tonumber(last_request)", "false"),
    Mutant("after an outage everything is reclaimed", "reclaim", "if now_ms < grace_until", "if now_ms < 0"),
    Mutant("priority is ignored", "enqueue", "string.format('%.0f', 0 - ARGV[3])", "'0'"),
    Mutant(
        "the line is last in first out",
        "lib/place",
        "following <= LAST_SEQUENCE and math.max(now_us, following) or now_us",
        "0xfffffffffffff - now_us",
    ),
    Mutant(
        "scheduled jobs start early",
        "fetch",
        "'-inf', string.format('%.0f', now_ms)",
        "'-inf', string.format('%.0f', now_ms + 50)",
    ),
    Mutant("a job that was enqueued before is stored again", "enqueue", "if stored then", "if false then"),
    Mutant("a chunk that is sent again is stored again", "enqueue", "if was_stored then", "if false then"),
    Mutant(
        "a chunk that was overtaken counts as stored",
        "lib/sender",
        "missing, highest = missing .. sent_range(highest + 1, sent), sent",
        "highest = sent",
    ),
    Mutant(
        "a number that was overtaken and used stays unused",
        "lib/sender",
        "return sent_range(first, sent) .. sent_range(sent + 1, behind)",
        "return nil",
    ),
    Mutant(
        "what is given back goes to the end of the line",
        "lib/put_back",
        "entry.score, entry.sequence .. ref",
        "entry.score, string.format('%013x', now_ms * 1000 + 1) .. ref",
    ),
    Mutant(
        "jobs to be cancelled are run again",
        "lib/give_back",
        "visit_cancelling(entry.id, first, count,",
        "visit_cancelling(entry.id, first, 0,",
    ),
    Mutant("a failed job stays in its chunk", "ack", "  chunk_left(id, leaving.n, leaving.indexes, now_ms)\n", ""),
    Mutant(
        "the middle of a span is lost",
        "lib/settle_lease",
        "entries[#entries + 1], of_id[#of_id + 1] = rest, rest",
        "of_id[#of_id + 1] = rest",
    ),
    Mutant(
        "a part that was cut out leaves nothing behind it",
        "lib/take_out",
        "put_rest(index + 1, ",
        "put_rest(index + 2, ",
    ),
    Mutant("an audit takes what is known", "audit", "if not known[fence] then", "if true then"),
    Mutant("an old audit takes what was fetched meanwhile", "audit", "tonumber(last_request) > request", "false"),
    Mutant(
        "failed jobs are kept for ever", "lib/trimming", "now_ms - tonumber(oldest[position + 1]) <= keep_ms", "true"
    ),
    Mutant("a postponement is not noted", "postpone", "  note_postponed(entry)\n", ""),
    Mutant("delays of postponements do not grow", "postpone", "delay_ms * 2 ^ mark.rounds", "delay_ms"),
    Mutant("deadlines stay when the clock goes back", "lib/tick", "      move_deadlines(last, now_ms, lease_ms)\n", ""),
    Mutant("whoever asks is renewed", "renew", "is_open(ARGV[position])", "true"),
]

RECURRING_MUTANTS = [
    Mutant("a due instant is fired by each ticker", "recur", "or definition.due_ms ~= due_ms\n", "\n"),
    Mutant("a changed definition is fired as it was", "recur", "definition.revision ~= revision", "false"),
    Mutant("a firing does not move on", "recur", "definition.due_ms = next_due_ms\n", "\n"),
    Mutant("a paused definition is fired", "pause_recurring", "  redis.call('ZREM', keys.recurring_due, id)\n", ""),
    Mutant("runs overlap", "lib/recurring_run", "definition.overlap == 'skip'", "false"),
    Mutant("a deploy ends the rhythm", "define_recurring", "if schedule ~= definition.schedule then", "if true then"),
    Mutant("an old version replaces a new one", "define_recurring", "tonumber(version) < tonumber(", "0 > tonumber("),
]


@pytest.fixture(scope="module")
def own_server() -> Iterator[ServerProcess]:
    with ServerProcess() as process:
        yield process


def names(mutants: list[Mutant]) -> list[str]:
    return [mutant.name.replace(" ", "-") for mutant in mutants]


@pytest.mark.parametrize("mutant", MUTANTS, ids=names(MUTANTS))
def test_the_model_notices(own_server: ServerProcess, mutant: Mutant) -> None:
    expect_red(QueueMachine, own_server, mutant)


@pytest.mark.parametrize("mutant", RECURRING_MUTANTS, ids=names(RECURRING_MUTANTS))
def test_the_model_of_recurring_jobs_notices(own_server: ServerProcess, mutant: Mutant) -> None:
    expect_red(RecurringMachine, own_server, mutant)


def expect_red(machine: type, own_server: ServerProcess, mutant: Mutant) -> None:
    changed = []

    def change(name: str, source: str) -> str:
        if name != mutant.file:
            return source
        assert source.count(mutant.line) == 1, f"{name} has changed: {mutant.line!r}"
        changed.append(name)
        return source.replace(mutant.line, mutant.changed)

    class Machine(machine):  # type: ignore[misc]
        """One of its own: settings and seeds are kept with the class."""

    Machine.server = own_server
    with timed_scripts(change):
        with own_server.client() as client:
            # What cannot be loaded would be noticed as well, and prove nothing.
            for script in scripts.all_scripts():
                client.script_load(script.source)
        assert changed
        with pytest.raises(BaseException) as caught:
            run(Machine, 1, RUNS, STEPS, shrink=False)
    assert isinstance(caught.value, Exception), caught.value
