"""The keys of one namespace, and the constant beginnings of calls to its scripts; each is made once."""

from __future__ import annotations

from fastjobs._core import pack_head
from fastjobs.config import Config
from fastjobs.model.partitions import number_of, queue_of
from fastjobs.server.cluster import slot_of
from fastjobs.store.keys import QueueKeys, queue_keys
from fastjobs.store.scripts import load
from fastjobs.store.sealing import Keyring

#: The keys of the scripts that give leased jobs back.
_GIVE_BACK_KEYS = (
    "ready",
    "leases",
    "sessions",
    "chunks",
    "jobs",
    "marks",
    "cancelling",
    "cancelled",
    "finished",
    "finished_log",
    "stats",
    "wake",
)
#: The keys of the scripts that act on one job.
_OPERATION_KEYS = (
    "chunks",
    "ready",
    "scheduled",
    "marks",
    "jobs",
    "leases",
    "failed",
    "cancelled",
    "cancelling",
    "finished",
    "finished_log",
    "stats",
    "wake",
)
#: The keys each script declares, in its order.
SCRIPT_KEYS: dict[str, tuple[str, ...]] = {
    "enqueue": ("chunks", "ready", "scheduled", "jobs", "stats", "wake"),
    "open": ("sessions", "stats"),
    "fetch": (
        "ready",
        "scheduled",
        "chunks",
        "jobs",
        "marks",
        "leases",
        "sessions",
        "stats",
        "wake",
    ),
    "ack": (
        "chunks",
        "ready",
        "scheduled",
        "marks",
        "jobs",
        "leases",
        "sessions",
        "failed",
        "cancelled",
        "cancelling",
        "finished",
        "finished_log",
        "stats",
        "wake",
    ),
    "release": _GIVE_BACK_KEYS,
    "postpone": (*_GIVE_BACK_KEYS, "scheduled"),
    "renew": ("sessions", "stats", "cancelling"),
    "reclaim": _GIVE_BACK_KEYS,
    "audit": _GIVE_BACK_KEYS,
    "close": _GIVE_BACK_KEYS,
    "find": ("chunks", "ready", "scheduled", "marks", "jobs", "finished"),
    "cancel": _OPERATION_KEYS,
    "reschedule": _OPERATION_KEYS,
    "prioritize": _OPERATION_KEYS,
    "destroy": _OPERATION_KEYS,
    "trim": ("chunks", "marks", "jobs", "failed", "cancelled", "finished", "finished_log", "stats"),
    "clear": ("chunks", "ready", "scheduled", "marks", "jobs", "finished", "finished_log", "stats"),
    "define_recurring": ("recurring", "recurring_due", "stats"),
    "recur": ("recurring", "recurring_due", "chunks", "ready", "jobs", "finished", "stats", "wake"),
    "run_recurring": ("recurring", "chunks", "ready", "jobs", "finished", "stats", "wake"),
    "pause_recurring": ("recurring", "recurring_due", "stats"),
    "resume_recurring": ("recurring", "recurring_due", "stats"),
    "cancel_recurring": ("recurring", "recurring_due"),
    "survey": QueueKeys.__slots__,
    "amend": QueueKeys.__slots__,
}


class Keyspace:
    """The keys, slots and packed heads of a namespace.

    Args:
        config: names the namespace; lease and retention of calls come from here.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        #: Seals what batches store; whoever reads what is stored opens it.
        self.keyring = Keyring(config)
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
            keys = self.keys(partition)
            names = SCRIPT_KEYS[script]
            head = pack_head("EVALSHA", load(script).sha, len(names), *(getattr(keys, name) for name in names))
            self._heads[script, partition] = head
        return head

    def head_on(self, script: str, partition: str, key: str) -> tuple[bytes, int]:
        """Returns the beginning of a call of a script that works on one key, whichever it is given."""
        return pack_head("EVALSHA", load(script).sha, 1, getattr(self.keys(partition), key))
