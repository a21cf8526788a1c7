"""Sends the calls of one batch to the nodes that own their keys, and follows redirections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastjobs import errors
from fastjobs._core import CommandBuffer, ReplyError
from fastjobs.server.cluster import Cluster
from fastjobs.server.connection import Client, Expected
from fastjobs.server.error_replies import classify

#: In place of a slot: any node, or the node of the call before, in the same write.
ANYWHERE = -1
WITH_PREVIOUS = -2

_ASKING = b"*1\r\n$6\r\nASKING\r\n"
#: Redirections and missing scripts that are handled at once; more of them mean that nodes contradict each other.
_MAX_AT_ONCE = 16
#: A node that answers with these is no master any more: it is asked again over a new connection.
_DEMOTED = (errors.ReadOnly,)
#: The slot is being moved: its owner is known, but does not have all of its keys yet.
_MOVING = "TRYAGAIN"


@dataclass(slots=True, eq=False)
class _Group:
    """The calls that went to one node in one write."""

    client: Client
    calls: list[int]
    #: For each call, whether the command ASKING went before it, which has a reply of its own.
    asked: list[bool]
    expected: Expected


class RoutedExchange:
    """The tries of one batch on a cluster: which calls are open, where they go, whether one may have been applied.

    Args:
        cluster: knows where slots are.
        buffer: the calls.
        slots: the slot of each call, `ANYWHERE` or `WITH_PREVIOUS`.
    """

    def __init__(self, cluster: Cluster, buffer: CommandBuffer, slots: Sequence[int]) -> None:
        self._cluster = cluster
        self._buffer = buffer
        self._slots = slots
        self._open = list(range(len(buffer)))
        #: Calls that their node has redirected to another one for this once.
        self._asking: dict[int, Client] = {}
        self._groups: list[_Group] = []
        #: The error of sending the open calls.
        self._failure: errors.StoreError | None = None
        #: Whether a try was lost that may have been applied.
        self.in_doubt = False
        self._at_once = 0
        self._without_scripts: set[Client] = set()
        self.replies: list[Any] = [None] * len(buffer)
        #: Whether calls only went to the wrong node, or lacked a script: they are sent again at once.
        self.again_at_once = False

    def begin(self) -> None:
        """Sends the calls for the first time; if that fails, `step` sends them again."""
        self._send_open()

    def ready(self) -> bool:
        """Whether all replies have arrived, or will not arrive."""
        try:
            return all(group.client.ready(group.expected) for group in self._groups)
        except errors.StoreError:
            return True

    @property
    def has_failed(self) -> bool:
        """Whether a call has to be sent again, as far as is known without reading."""
        return self._failure is not None or any(group.expected.has_failed for group in self._groups)

    def step(self) -> errors.StoreError | None:
        """Makes one try; returns the error that left calls unanswered, or None when all are answered."""
        if not self._groups and self._failure is None:
            self._send_open()
        failure, self._failure = self._failure, None
        redirected = False
        answered: set[int] = set()
        for group in self._groups:
            # Lost with a connection over which another batch failed: sent again, nothing is wrong here.
            lost = group.expected.lost and not group.expected.complete
            try:
                replies = group.client.receive(group.expected)
            except errors.StoreError as error:
                self.in_doubt = True
                redirected |= lost
                failure = failure if lost else error
                continue
            for call, reply in zip(group.calls, _without_asking(replies, group.asked), strict=True):
                if not isinstance(reply, ReplyError):
                    self.replies[call] = reply
                    answered.add(call)
                elif self._follow(call, reply.message, group.client):
                    redirected = True
                else:
                    failure = classify(reply.message)
                    if isinstance(failure, _DEMOTED):
                        group.client.close()
        self._groups = []
        self._keep_open(answered)
        if failure is None and redirected:
            failure = errors.Unavailable("the nodes of the cluster redirect calls to each other")
            self._at_once += 1
            self.again_at_once = self._at_once <= _MAX_AT_ONCE
            return failure
        self.again_at_once = False
        if failure is not None and not str(failure).startswith(_MOVING):
            self._cluster.stale = True
        return failure

    def recover(self) -> None:
        """Prepares for another try after a wait."""
        self._at_once = 0

    def verdict(self, failure: errors.StoreError) -> errors.StoreError:
        """Returns the error to raise: in doubt if an earlier try may have been applied."""
        if self.in_doubt and not isinstance(failure, errors.ConnectionLost):
            return errors.ConnectionLost(f"the outcome is unknown; last error: {failure}")
        return failure

    def _keep_open(self, answered: set[int]) -> None:
        """Keeps unanswered calls open, and answered ones that go with them: their replies were about something else."""
        still_open: list[int] = []
        for call in self._open:
            goes_with_open = self._slots[call] == WITH_PREVIOUS and still_open[-1:] == [call - 1]
            if call not in answered or goes_with_open:
                still_open.append(call)
        self._open = still_open

    def _follow(self, call: int, message: str, client: Client) -> bool:
        """Notes where a call must go instead; returns False for any other error."""
        word, _, rest = message.partition(" ")
        slot, _, address = rest.partition(" ")
        if word == "MOVED":
            self._cluster.moved(int(slot), address, client)
        elif word == "ASK":
            self._asking[call] = self._cluster.client_at(address, client)
        elif "NOSCRIPT" in message:
            self._without_scripts.add(client)
        else:
            return False
        return True

    def _send_open(self) -> None:
        """Sends the open calls, to each node in one write; if one node fails, the others still get theirs."""
        self._load_scripts()
        routes: dict[Client, tuple[list[int], list[bool]]] = {}
        client: Client | None = None
        for call in self._open:
            asked = self._asking.pop(call, None)
            try:
                if self._slots[call] != WITH_PREVIOUS:
                    client = asked or self._cluster.owner(self._slots[call])
            except errors.StoreError as error:
                self._failure, client = error, None
            if client is not None:
                calls, asking = routes.setdefault(client, ([], []))
                calls.append(call)
                asking.append(asked is not None)
        for target, (calls, asking) in routes.items():
            try:
                expected = target.send(self._data(calls, asking), len(calls) + sum(asking))
            except errors.StoreError as error:
                self.in_doubt = self.in_doubt or isinstance(error, errors.ConnectionLost)
                self._failure = error
            else:
                self._groups.append(_Group(target, calls, asking, expected))

    def _data(self, calls: list[int], asking: list[bool]) -> bytes:
        if len(calls) == len(self._buffer) and not any(asking):
            return self._buffer.tobytes()
        return b"".join(
            (_ASKING if asked else b"") + self._buffer.command(call) for call, asked in zip(calls, asking, strict=True)
        )

    def _load_scripts(self) -> None:
        for client in self._without_scripts:
            try:
                client.load_scripts()
            except errors.StoreError as error:
                self._failure = error
        self._without_scripts.clear()


def _without_asking(replies: list[Any], asked: list[bool]) -> list[Any]:
    """Returns the replies without those to ASKING."""
    found = iter(replies)
    kept = []
    for was_asked in asked:
        if was_asked:
            next(found)
        kept.append(next(found))
    return kept
