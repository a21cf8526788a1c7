"""The verdict: compares what producers were told with what handlers did, and with what was done to both.

Pure: evidence in, problems and figures out, so that it can be tried on evidence that was made up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from tests.chaos.app import DOOMED_RETRIES, STUCK_RETRIES
from tests.chaos.journal import Call, History, Run
from tests.chaos.world import Hurt

#: Reports wait at most this long to be sent together; see `fastjobs/worker/process/process.py`.
_REPORT_NS = 100_000_000
#: A process that waits for the server to come back looks again after this long at the latest.
_BACKOFF_NS = 2_000_000_000
#: Faults of one worker with less than this between them count as one: it had no time to recover.
_RECOVERY_NS = 1_000_000_000
#: A worker that is cut off for this part of its lease may lose it: it was not renewed just before.
_RISKY_PART = 0.6
#: A monotonic and a wall clock, and the server's milliseconds.
_CLOCK_NS = 5_000_000
#: Between two notes of one moment by two processes, on a busy machine: a handler's last one, and its process's mark.
_MARK_NS = 20_000_000
#: What a master has confirmed may be on its way to its replicas for this long; usually it is milliseconds.
_REPLICATION_NS = 1_000_000_000
#: How many examples of a problem are told.
_EXAMPLES = 5

#: Handlers whose jobs may fail: what they end with, and their further runs.
_FAILS_BY = {"doomed": ("Planned", DOOMED_RETRIES), "stuck": ("JobTimeout", STUCK_RETRIES)}


@dataclass(frozen=True)
class Ended:
    """A job that the server says has failed or was cancelled."""

    status: str
    #: Types of its errors, oldest first.
    errors: tuple[str, ...] = ()


@dataclass
class Evidence:
    """All there is to judge by."""

    calls: list[Call]
    history: History
    ended: dict[int, Ended]
    hurts: list[Hurt]
    threads: int
    lease_ms: int
    cancel_asked: set[int] = field(default_factory=set)
    cancelled_ns: dict[int, int] = field(default_factory=dict)
    #: Found by others: tracebacks in logs, broken invariants, what did not drain.
    found: list[str] = field(default_factory=list)


@dataclass
class Loss:
    """Processes that may have lost what they were running, and what they had not reported."""

    what: str
    began_ns: int
    ended_ns: int
    pids: frozenset[int]
    #: When they themselves were hit; `began_ns` is that of the first of the faults that together made the loss.
    hit_ns: int
    #: Only jobs that were running are in doubt: the supervisor reports the others.
    running_only: bool = False
    #: Only what ended since then is in doubt, of whichever process: servers forgot it.
    forgotten_since_ns: int | None = None


@dataclass
class Verdict:
    """What is wrong, and the figures."""

    problems: list[str] = field(default_factory=list)
    jobs: int = 0
    executed: int = 0
    failed: int = 0
    cancelled: int = 0
    refused: int = 0
    unknown: int = 0
    #: Runs beyond those that were needed, and how many the faults explain at most.
    duplicates: int = 0
    bound: int = 0
    #: Seconds from when jobs were stored, or due, to their first run.
    waits_s: list[float] = field(default_factory=list)
    #: Seconds from the loss of a process to when a job it was running ran again.
    recoveries_s: list[float] = field(default_factory=list)
    #: Jobs that a server confirmed without waiting for a replica, around the time when another took over; and how many
    #: of those are gone.
    exposed: int = 0
    lost: int = 0
    #: Durability -> seconds from each change of servers to the next call that was accepted.
    resumptions_s: dict[str, list[float]] = field(default_factory=dict)

    def blame(self, what: str, examples: Iterable[object]) -> None:
        """Adds a problem if there are examples of it."""
        some = list(examples)
        if some:
            shown = ", ".join(map(str, some[:_EXAMPLES]))
            self.problems.append(f"{what}: {len(some)} (for example {shown})")


def judge(evidence: Evidence) -> Verdict:
    """Returns what the evidence shows."""
    verdict = Verdict(problems=list(evidence.found))
    losses = find_losses(evidence)
    calls = {key: call for call in evidence.calls for key in call.keys}
    _judge_calls(evidence, verdict)
    _judge_ends(evidence, verdict, calls)
    _judge_times(evidence, verdict, calls)
    _judge_repeats(evidence, verdict, losses)
    _measure_recoveries(evidence, verdict, losses)
    _measure_resumptions(evidence, verdict)
    return verdict


def _may_be_forgotten(hurts: list[Hurt], began_ns: int, ended_ns: int) -> bool:
    """Whether a server that confirmed something in this time may have been replaced by one that does not know of it."""
    return any(
        hurt.promotes
        and began_ns <= (hurt.ended_ns if hurt.outlived else hurt.began_ns) + _MARK_NS
        and ended_ns >= hurt.began_ns - _REPLICATION_NS
        for hurt in hurts
    )


def _may_be_gone(call: Call, hurts: list[Hurt]) -> bool:
    """Whether a job of the call may be lost though it was started: a server that goes may have it, also in doubt."""
    in_doubt = call.stored < call.n and _may_be_forgotten(hurts, call.began_ns, call.ended_ns)
    return in_doubt or _is_exposed(call, hurts)


def _is_exposed(call: Call, hurts: list[Hurt]) -> bool:
    """Whether jobs of the call may be lost: nobody waited for a replica to have them."""
    return call.durability == "fire" and _may_be_forgotten(hurts, call.began_ns, call.ended_ns)


def _judge_calls(evidence: Evidence, verdict: Verdict) -> None:
    """What a call was told and what became of its jobs have to agree."""
    runs, ended = evidence.history.runs, evidence.ended
    lost, started = [], []
    for call in evidence.calls:
        there = sum(key in runs or key in ended for key in call.keys)
        verdict.jobs += call.n
        verdict.unknown += call.unknown
        verdict.refused += call.n - call.stored - call.unknown
        if _is_exposed(call, evidence.hurts):
            verdict.exposed += call.stored
            done = sum(key in ended or any(run.returned for run in runs.get(key, [])) for key in call.keys)
            verdict.lost += max(0, call.stored - done)
        elif there < call.stored:
            lost.append(f"{call.kind} {call.first}+{call.n}: {call.stored} stored, {there} known")
        if there > call.stored + call.unknown:
            started.append(
                f"{call.kind} {call.first}+{call.n}: {call.stored} stored, {call.unknown} in doubt, {there} known"
            )
    verdict.blame("acknowledged and lost", lost)
    verdict.blame("refused, and there all the same", started)
    known = {key for call in evidence.calls for key in call.keys}
    verdict.blame("run, and never asked for", sorted((runs.keys() | ended.keys()) - known))


def _judge_ends(evidence: Evidence, verdict: Verdict, calls: dict[int, Call]) -> None:
    """Every job ran to its end, or has failed or was cancelled for a reason that there is."""
    unended, baseless, unasked, after = [], [], [], []
    for key in evidence.history.runs.keys() | evidence.ended.keys():
        runs, end, call = evidence.history.runs.get(key, []), evidence.ended.get(key), calls.get(key)
        if end is None:
            verdict.executed += 1
            done = any(run.returned for run in runs)
            if not done and (call is None or not _may_be_gone(call, evidence.hurts)):
                unended.append(f"{key} ({len(runs)} runs)")
        elif end.status == "failed":
            verdict.failed += 1
            if call is not None and not _has_reason(end, call.kind, runs):
                baseless.append(f"{key} ({call.kind}): {end.errors}")
        else:
            verdict.cancelled += 1
            if key not in evidence.cancel_asked:
                unasked.append(key)
    for key, at_ns in evidence.cancelled_ns.items():
        # A cancellation waits for no replica.
        if not _may_be_forgotten(evidence.hurts, at_ns, at_ns) and any(
            run.start_ns > at_ns + _CLOCK_NS for run in evidence.history.runs.get(key, [])
        ):
            after.append(key)
    verdict.blame("started and never ended", unended)
    verdict.blame("failed without a reason", baseless)
    verdict.blame("cancelled unasked", unasked)
    verdict.blame("started after it was cancelled", after)


def _has_reason(end: Ended, kind: str, runs: list[Run]) -> bool:
    """Whether the job had to fail: it raised too often, or its processes were killed time and again."""
    error, retries = _FAILS_BY.get(kind, ("", 0))
    # Runs are counted by the journal: the record of a job that fails at a full server has the last error only.
    if error and end.errors[-1:] == (error,) and sum(run.raised for run in runs) > retries:
        return True
    return end.errors.count("WorkerCrashed") >= 3


def _judge_times(evidence: Evidence, verdict: Verdict, calls: dict[int, Call]) -> None:
    early = []
    for key, runs in evidence.history.runs.items():
        call = calls.get(key)
        if call is None:
            continue
        first_ns, delay_ns = min(run.start_ns for run in runs), int(call.delay_s * 1e9)
        if first_ns < call.began_ns + delay_ns - _CLOCK_NS:
            early.append(f"{key} by {(call.began_ns + delay_ns - first_ns) / 1e6:.1f} ms")
        if call.stored == call.n:
            verdict.waits_s.append(max(0.0, (first_ns - call.ended_ns - delay_ns) / 1e9))
    verdict.blame("started before its time", early)


def _judge_repeats(evidence: Evidence, verdict: Verdict, losses: list[Loss]) -> None:
    """Every run beyond the first has to have a reason; those that repeat what was done are the duplicates."""
    inexplicable = []
    for ordered in repeated_runs(evidence.history):
        for earlier, later in pairwise(ordered):
            if earlier.raised and later.attempt > earlier.attempt:
                continue
            verdict.duplicates += 1
            if not any(_explains(loss, earlier) for loss in losses):
                inexplicable.append(f"{earlier.key} (runs {[(run.pid, run.attempt) for run in ordered]})")
    verdict.blame("ran again without a reason", inexplicable)
    by_process: dict[int, list[Run]] = defaultdict(list)
    for runs in evidence.history.runs.values():
        for run in runs:
            by_process[run.pid].append(run)
    verdict.bound = sum(_bound(evidence, loss, by_process) for loss in losses)
    if verdict.duplicates > verdict.bound:
        verdict.problems.append(f"{verdict.duplicates} runs too many, the faults explain {verdict.bound}")


def repeated_runs(history: History) -> list[list[Run]]:
    """The runs of each job that ran more than once, in the order in which they started."""
    return [sorted(runs, key=lambda run: run.start_ns) for runs in history.runs.values() if len(runs) > 1]


def _explains(loss: Loss, run: Run) -> bool:
    """Whether the run's outcome may have been lost."""
    if run.pid not in loss.pids or run.start_ns > loss.ended_ns:
        return False
    if loss.forgotten_since_ns is not None:
        return run.end_ns is None or run.end_ns >= loss.forgotten_since_ns
    # A run is noted to have ended a moment before its process marks it as ended.
    return not loss.running_only or run.end_ns is None or run.end_ns > loss.began_ns - _MARK_NS


def _bound(evidence: Evidence, loss: Loss, by_process: dict[int, list[Run]]) -> int:
    """What the loss of these processes explains: what each was running, and what it had not reported yet."""
    if loss.forgotten_since_ns is not None:
        return sum(_explains(loss, run) for runs in by_process.values() for run in runs)
    workers = {pid for pid in loss.pids if pid in evidence.history.supervisors}
    running = evidence.threads * len(workers)
    if loss.running_only:
        return running
    since_ns = _last_report_ns(evidence.hurts, loss)
    unreported = sum(
        run.end_ns is not None and since_ns <= run.end_ns and run.start_ns <= loss.ended_ns
        for pid in workers
        for run in by_process[pid]
    )
    return running + unreported


def _last_report_ns(hurts: list[Hurt], loss: Loss) -> int:
    """Since when nothing may have been reported: the usual delay, or since the line or the server was harmed."""
    since_ns = loss.hit_ns - _REPORT_NS
    for hurt in sorted(hurts, key=lambda hurt: hurt.ended_ns, reverse=True):
        concerned = not hurt.pids or hurt.pids & loss.pids
        # Who waits for the server waits twice as long each time: about as long again as it was gone.
        looked_again_ns = hurt.ended_ns + min(_BACKOFF_NS, hurt.ended_ns - hurt.began_ns + _REPORT_NS)
        if concerned and hurt.began_ns < since_ns <= looked_again_ns:
            since_ns = hurt.began_ns - _REPORT_NS
    return since_ns


def find_losses(evidence: Evidence) -> list[Loss]:
    """Which processes may have lost work: killed, cut off for too long, or reported to a server that was replaced."""
    losses = []
    lost_supervisors = [hurt for hurt in evidence.hurts if not hurt.settled_by_supervisor and hurt.pids]
    for hurt in evidence.hurts:
        if not hurt.deadly:
            continue
        supervisors = {evidence.history.supervisors.get(pid) for pid in hurt.pids}
        # A supervisor that is lost itself before it could report settles nothing.
        settled = hurt.settled_by_supervisor and not any(
            supervisors & other.pids and other.began_ns - hurt.began_ns < 5 * 10**9 and other.ended_ns >= hurt.began_ns
            for other in lost_supervisors
        )
        losses.append(Loss(hurt.what, hurt.began_ns, hurt.ended_ns, hurt.pids, hurt.began_ns, running_only=settled))
    return losses + _cut_off(evidence) + _forgotten(evidence)


def _forgotten(evidence: Evidence) -> list[Loss]:
    """What was leased and reported around the time when another server took over, by anybody."""
    losses = []
    everybody = frozenset(evidence.history.supervisors)
    for hurt in evidence.hurts:
        if not hurt.promotes:
            continue
        # Who was harmed at the same time may run later what it had leased before.
        began_ns, ended_ns, _ = _together(hurt, [other for other in evidence.hurts if other is not hurt])
        loss = Loss(hurt.what, began_ns, ended_ns + _BACKOFF_NS, everybody, hurt.began_ns - _REPLICATION_NS)
        loss.forgotten_since_ns = _last_report_ns(evidence.hurts, loss)
        losses.append(loss)
    return losses


def _cut_off(evidence: Evidence) -> list[Loss]:
    """Workers that could not renew for so long that they may have lost their lease."""
    losses = []
    risky_ns = int(evidence.lease_ms * 1e6 * _RISKY_PART)
    own = [hurt for hurt in evidence.hurts if hurt.pids and not hurt.deadly]
    for hurt in own:
        others = [other for other in evidence.hurts if other is not hurt and (not other.pids or other.pids & hurt.pids)]
        began_ns, ended_ns, together = _together(hurt, others)
        if ended_ns - began_ns >= risky_ns or (hurt.ending and together > 1):
            # It learns of the loss when it can talk again.
            losses.append(Loss(hurt.what, began_ns, ended_ns + _BACKOFF_NS, hurt.pids, hurt.began_ns))
    return _merged(losses)


def _together(hurt: Hurt, others: list[Hurt]) -> tuple[int, int, int]:
    """When a fault began and ended with all those that left no time to recover in between, and how many they are."""
    began_ns, ended_ns, together = hurt.began_ns, hurt.ended_ns, 1
    left = list(others)
    grew = True
    while grew:
        grew = False
        for other in list(left):
            if other.began_ns <= ended_ns + _RECOVERY_NS and other.ended_ns >= began_ns - _RECOVERY_NS:
                began_ns, ended_ns = min(began_ns, other.began_ns), max(ended_ns, other.ended_ns)
                left.remove(other)
                together, grew = together + 1, True
    return began_ns, ended_ns, together


def _merged(losses: list[Loss]) -> list[Loss]:
    """Several faults that make one loss together are one loss."""
    found: dict[tuple[int, int], Loss] = {}
    for loss in losses:
        same = found.get((loss.began_ns, loss.ended_ns))
        if same is None:
            found[loss.began_ns, loss.ended_ns] = loss
        else:
            same.pids |= loss.pids
            same.hit_ns = min(same.hit_ns, loss.hit_ns)
    return list(found.values())


def _measure_recoveries(evidence: Evidence, verdict: Verdict, losses: list[Loss]) -> None:
    """How long jobs that a lost process was running had to wait for their next run."""
    for ordered in repeated_runs(evidence.history):
        for earlier, later in pairwise(ordered):
            for loss in losses:
                running = earlier.pid in loss.pids and earlier.start_ns <= loss.began_ns and earlier.end_ns is None
                if running and later.start_ns > loss.began_ns:
                    verdict.recoveries_s.append((later.start_ns - loss.began_ns) / 1e9)
                    break


def _measure_resumptions(evidence: Evidence, verdict: Verdict) -> None:
    """How long after each change of servers the next job was accepted in a partition that was concerned."""
    singles = sorted((call for call in evidence.calls if call.partition), key=lambda call: call.ended_ns)
    for hurt in evidence.hurts:
        if hurt.partitions is None:
            continue
        for durability in {call.durability for call in singles}:
            ended_ns = next(
                (
                    call.ended_ns
                    for call in singles
                    if call.durability == durability
                    and call.partition in hurt.partitions
                    and call.began_ns > hurt.began_ns
                    and call.stored
                ),
                None,
            )
            if ended_ns is not None:
                verdict.resumptions_s.setdefault(durability, []).append((ended_ns - hurt.began_ns) / 1e9)
