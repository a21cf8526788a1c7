"""A batch of calls: packed into one write, sent again as long as that helps, and answered with typed replies."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from fastjobs import errors
from fastjobs._core import CommandBuffer, pack_head
from fastjobs.server.cluster import Cluster, slot_of
from fastjobs.server.connection import Client
from fastjobs.server.exchanges.clustered import ANYWHERE, WITH_PREVIOUS, RoutedExchange
from fastjobs.server.exchanges.single import PRODUCER_RETRIES, Exchange, try_on
from fastjobs.store.keyspace import Keyspace

T = TypeVar("T")

#: Commands without a key: any server of a cluster will do.
_WITHOUT_KEY = frozenset({"TIME", "INFO", "PING", "CONFIG"})
#: Commands about what was written before them over the same connection.
_ABOUT_PREVIOUS = frozenset({"WAIT", "WAITAOF"})


def as_is(reply: Any) -> Any:
    """Returns a reply as the server gave it."""
    return reply


def never(failure: errors.StoreError) -> bool:
    """Does not give up, whatever failed."""
    return False


class Reply(Generic[T]):
    """The reply to one call of a batch: it knows its batch, and the batch does not know it, so neither outlives use."""

    __slots__ = ("_batch", "_index", "_parse", "_parsed", "_replies")

    def __init__(self, batch: BaseBatch, index: int, parse: Callable[[Any], T]) -> None:
        self._batch = batch
        self._index = index
        self._parse = parse
        #: The replies from which the value was read.
        self._replies: list[Any] | None = None

    @property
    def value(self) -> T:
        """The reply of the server, once the batch was answered; the last one if it was sent again."""
        replies = self._batch.replies
        if self._replies is not replies:
            self._parsed = self._parse(replies[self._index])
            # Last: an exception from outside may come in between.
            self._replies = replies
        return self._parsed

    def run(
        self,
        retry_on: tuple[type[errors.StoreError], ...] = PRODUCER_RETRIES,
        budget_s: float | None = 0.0,
        give_up: Callable[[errors.StoreError], bool] = never,
    ) -> T:
        """Runs the batch and returns the value of this reply; arguments and errors as for `BaseBatch.result`."""
        self._batch.run(retry_on, budget_s, give_up)
        return self.value


class BaseBatch:
    """Calls that travel together. Add calls, then `run`, or `send` and later `result`.

    Each method that adds a call returns its `Reply`.

    Args:
        client: the connection, or those to a cluster.
        keyspace: the keys and the heads of calls.
        patience_s: how long a passing error is waited out by calls that have no budget of their own.
    """

    def __init__(self, client: Client | Cluster, keyspace: Keyspace, patience_s: float) -> None:
        self._client = client
        self._keyspace = keyspace
        self._patience_s = patience_s
        self._buffer = CommandBuffer()
        self._number = 0
        #: The server's replies, in the order of the calls; empty until the batch was answered.
        self.replies: list[Any] = []
        #: The slot of each call, or where else it goes; None when there is one server.
        self._slots: list[int] | None = [] if isinstance(client, Cluster) else None
        self._exchange: Exchange | RoutedExchange | None = None

    def __len__(self) -> int:
        return self._number

    def script(
        self, name: str, partition: str, args: Sequence[bytes | str | int], parse: Callable[[Any], T] = as_is
    ) -> Reply[T]:
        """Adds a call of a script with the keys of a partition."""
        self._buffer.extend(self._keyspace.head(name, partition), args)
        if self._slots is not None:
            self._slots.append(self._keyspace.slot(partition))
        return self._expect(parse)

    def command(self, *parts: bytes | str | int, parse: Callable[[Any], T] = as_is) -> Reply[T]:
        """Adds a plain command that may be sent twice.

        On a cluster, the word behind its name is its key, except for commands without any.
        """
        self._buffer.extend(pack_head(parts[0]), parts[1:])
        if self._slots is not None:
            self._slots.append(_slot_of_command(parts))
        return self._expect(parse)

    def _expect(self, parse: Callable[[Any], T]) -> Reply[T]:
        self._number += 1
        return Reply(self, self._number - 1, parse)

    def send(self) -> None:
        """Writes the calls; a failure is left to `result`, which sends again."""
        if isinstance(self._client, Cluster):
            self._exchange = RoutedExchange(self._client, self._buffer, self._slots or ())
        else:
            self._exchange = Exchange(self._client, self._buffer)
        self._exchange.begin()

    def ready(self) -> bool:
        """Whether `result` would return or raise without waiting."""
        return self._exchange is None or self._exchange.ready()

    @property
    def has_failed(self) -> bool:
        """Whether a call has to be sent again, as far as is known without waiting."""
        return self._exchange is not None and self._exchange.has_failed

    @property
    def in_doubt(self) -> bool:
        """Whether calls were sent again that the server may have carried out before, without an answer."""
        return self._exchange is not None and self._exchange.in_doubt

    def run(
        self,
        retry_on: tuple[type[errors.StoreError], ...] = PRODUCER_RETRIES,
        budget_s: float | None = 0.0,
        give_up: Callable[[errors.StoreError], bool] = never,
    ) -> None:
        """Sends the calls, if there are any, and waits for their replies; arguments and errors as for `result`."""
        if self._number:
            self.send()
            self.result(retry_on, budget_s, give_up)

    def result(
        self,
        retry_on: tuple[type[errors.StoreError], ...] = PRODUCER_RETRIES,
        budget_s: float | None = 0.0,
        give_up: Callable[[errors.StoreError], bool] = never,
    ) -> None:
        """Waits for the replies, sending again what was not answered or answered with a passing error.

        After a passing error a new connection is made: the name may lead to another server by then. Batches that
        wait for replies in the old connection notice and send again as well.

        Args:
            retry_on: errors to wait out.
            budget_s: seconds after which no further try is made, at least the batch's patience; None = never give up.
            give_up: asked before each further try, with the failure; True gives up.

        Raises:
            ConnectionLost: given up, and a call may have been applied.
            StoreError: given up, or an error not in `retry_on`; nothing was applied by the failed calls.
        """
        if self._exchange is None:
            # The caller was interrupted before it sent them.
            self.send()
        exchange = self._exchange
        assert exchange is not None
        deadline = None if budget_s is None else time.monotonic() + max(budget_s, self._patience_s)
        failure = exchange.step()
        if failure is not None:
            try_on(exchange, failure, retry_on, deadline, give_up)
        self.replies = exchange.replies


def _slot_of_command(parts: Sequence[bytes | str | int]) -> int:
    name, *rest = parts
    if name in _ABOUT_PREVIOUS:
        return WITH_PREVIOUS
    if name in _WITHOUT_KEY:
        return ANYWHERE
    key = rest[0]
    assert not isinstance(key, int)
    return slot_of(key)
