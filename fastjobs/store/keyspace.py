"""The keys of one namespace, and the constant beginnings of calls to its scripts; each is made once."""

from __future__ import annotations

from fastjobs._core import pack_head
from fastjobs.config import Config
from fastjobs.model.partitions import number_of, queue_of
from fastjobs.server.cluster import slot_of
from fastjobs.store.keys import QueueKeys, queue_keys
from fastjobs.store.scripts import load
from fastjobs.store.sealing import Keyring

#: How long a partition remembers a sender after its last chunk, in milliseconds; longer when it may try for longer.
_SENDER_KEEP_MS = 3_600_000


class Keyspace:
    """The keys, slots and packed heads of a namespace.

    Args:
        config: names the namespace; lease and retention of calls come from here.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        #: Seals what batches store; whoever reads what is stored opens it.
        self.keyring = Keyring(config)
        #: How long a partition remembers this producer's senders after their last chunk.
        self.sender_keep_ms = max(_SENDER_KEEP_MS, int(config.retry_budget_s * 2000))
        self._keys: dict[str, QueueKeys] = {}
        self._slots: dict[str, int] = {}
        self._heads: dict[tuple[str, str], tuple[bytes, int]] = {}

    def keys(self, partition: str) -> QueueKeys:
        """Returns the keys of a partition."""
        keys = self._keys.get(partition)
        if keys is None:
            keys = queue_keys(self.config.namespace, queue_of(partition), number_of(partition))
            self._keys[partition] = keys
        return keys

    def slot(self, partition: str) -> int:
        """Returns the slot of a partition's keys."""
        slot = self._slots.get(partition)
        if slot is None:
            slot = self._slots[partition] = slot_of(self.keys(partition).stats)
        return slot

    def head(self, script: str, partition: str) -> tuple[bytes, int]:
        """Returns the packed constant beginning of a call: EVALSHA, SHA and keys."""
        head = self._heads.get((script, partition))
        if head is None:
            keys, called = self.keys(partition), load(script)
            declared = (getattr(keys, name) for name in called.keys)
            head = pack_head("EVALSHA", called.sha, len(called.keys), *declared)
            self._heads[script, partition] = head
        return head
