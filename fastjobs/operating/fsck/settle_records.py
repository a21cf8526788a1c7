"""Decides where each job with a record belongs: where it was met, else where its record says, else back in line."""

from __future__ import annotations

from fastjobs.model.refs import SEQUENCE_DIGITS, Member, Place, format_sequence, logged_member, read_ref
from fastjobs.model.status import Status
from fastjobs.model.stored import Marks
from fastjobs.operating.fsck.claim import ENDED, WAITING, Claims
from fastjobs.operating.fsck.findings import Finding
from fastjobs.operating.fsck.inventory import DetachedJob, Inventory, read_record
from fastjobs.operating.fsck.wanted import Wanted


def settle_records(inventory: Inventory, claims: Claims, wanted: Wanted) -> None:
    """Puts each job with a record where it belongs."""
    stored = inventory.stored
    settler = _Settler(inventory, claims, wanted)
    for name in (*stored["failed"], *stored["cancelled"], *stored["cancelling"]):
        if name not in inventory.jobs:
            settler.settle_without_record(name)
    for name, job in inventory.jobs.items():
        settler.settle(name, job)


class _Settler:
    def __init__(self, inventory: Inventory, claims: Claims, wanted: Wanted) -> None:
        self._inventory = inventory
        self._stored = inventory.stored
        self._note = inventory.note
        self._now_ms = inventory.terms.now_ms
        self._claims = claims
        self._wanted = wanted
        self._last_us = self._now_ms * 1000

    def settle_without_record(self, name: str) -> None:
        """A job that ended, or is to be cancelled, by its lists, and has no record."""
        ref = read_ref(name)
        failed, cancelled = name in self._stored["failed"], name in self._stored["cancelled"]
        if name in self._stored["cancelling"] and not failed and not cancelled:
            self._note(Finding.CANCEL_ORPHANED, name)
        elif ref is None or ref.kind != "detached":
            self._note(Finding.ENDED_REF_INVALID, name)
        elif not failed:
            self._note(Finding.CANCELLED_WITHOUT_RECORD, name)
        elif not self._inventory.take_back(ref):
            self._inventory.lose(ref, "its record is gone")

    def settle(self, name: str, job: DetachedJob) -> None:
        if job.record.status == Status.EXECUTING:
            self._settle_cancelling(name, job)
        else:
            self._settle_status(name, job)
            self._keep_request(name, job)
            self._place(name, job)
        marks = self._stored["marks"].get(name)
        if marks is not None and job.record.status != Status.EXECUTING and Marks.read(marks):
            self._wanted["marks"][name] = marks

    def _settle_cancelling(self, name: str, job: DetachedJob) -> None:
        """A record that says that the job, still in its chunk, is executing and to be cancelled."""
        ref = read_ref(name)
        assert ref is not None
        if ref.first in self._claims.leased[ref.chunk_id]:
            if name not in self._stored["cancelling"]:
                self._note(Finding.CANCEL_NOT_REQUESTED, name, 1)
            self._wanted["cancelling"][name] = self._stored["cancelling"].get(name, b"%d" % job.record.at_ms)
            self._wanted["jobs"][name] = job.record.pack()
            return
        self._note(Finding.CANCEL_OVERDUE, name, 1)
        self._claims.claimed[ref.chunk_id].discard(ref.first)
        job.record = job.record._replace(status=Status.CANCELLED, at_ms=self._now_ms)
        self._place(name, job)

    def _settle_status(self, name: str, job: DetachedJob) -> None:
        lists = [status for status in ENDED if self._inventory.is_listed(name, status)]
        before = job.record.status
        if before not in lists:
            status = self._right_status(name, job, lists)
            job.record = job.record._replace(status=status)
        if before != job.record.status or (lists and lists != [before]):
            self._note(Finding.STATUS_WRONG, name, 1)

    def _right_status(self, name: str, job: DetachedJob, lists: list[Status]) -> str:
        """The status of a job whose record names no list that has it; puts a job that is nowhere in line."""
        before = job.record.status
        if job.leased or job.waits is not None:
            return before if before in WAITING else _status_in_line(job)
        if lists:
            return lists[0]
        return before if before in ENDED else self._put_back(name, job)

    def _put_back(self, name: str, job: DetachedJob) -> str:
        """Puts a job in line that is nowhere; returns its status there."""
        record, ref = job.record, read_ref(name)
        assert ref is not None
        self._note(Finding.JOB_NOWHERE, name, 1)
        if len(record.place.sequence) != SEQUENCE_DIGITS:
            job.record = record._replace(place=Place(record.place.score, self._next_sequence()))
        if record.status in (Status.SCHEDULED, Status.RETRYING) and record.at_ms > self._now_ms:
            job.due = b"%d" % record.at_ms
        job.waits = Member(job.record.place, ref, "r" if record.status == Status.RETRYING else "s")
        return record.status if record.status in WAITING else Status.QUEUED

    def _next_sequence(self) -> str:
        self._last_us += 1
        return format_sequence(self._last_us)

    def _keep_request(self, name: str, job: DetachedJob) -> None:
        """Keeps the request to cancel a job that is executing."""
        request = self._stored["cancelling"].get(name)
        if request is None:
            return
        if job.leased:
            self._wanted["cancelling"][name] = request
        else:
            self._note(Finding.CANCEL_ORPHANED, name)

    def _place(self, name: str, job: DetachedJob) -> None:
        if job.record.status in (Status.FAILED, Status.CANCELLED):
            self._place_ended(name, job)
        elif job.record.status == Status.FINISHED:
            self._place_finished(name)
        elif job.waits is not None and job.due:
            self._wanted.put_scheduled(job.waits, job.due)
        elif job.waits is not None:
            self._wanted.put_ready(job.waits)
        # Numbers that are written in another way are the same numbers.
        before = self._stored["jobs"].get(name)
        same = before is not None and read_record(before) == job.record
        self._wanted["jobs"][name] = before if before is not None and same else job.record.pack()

    def _place_ended(self, name: str, job: DetachedJob) -> None:
        status = job.record.status
        if name not in self._stored[status]:
            self._note(Finding.ENDED_NOT_LISTED, name, 1)
        self._wanted[status][name] = self._stored[status].get(name, b"%d" % job.record.at_ms)
        self._wanted.count[status] += 1
        self._wanted.types[f"{status}:{job.record.type}"] += 1

    def _place_finished(self, name: str) -> None:
        terms, logged = self._inventory.terms, self._inventory.logged.get(name)
        self._wanted["finished_log"][logged_member(1, name)] = (
            logged[1] if logged else b"%d" % (terms.now_ms + terms.keep_ms)
        )
        self._wanted.count[Status.FINISHED] += 1


def _status_in_line(job: DetachedJob) -> Status:
    """The status of a job by where it was met."""
    if not job.due or job.waits is None:
        return Status.QUEUED
    return Status.RETRYING if job.waits.kind == "r" else Status.SCHEDULED
