"""Works out what a partition should consist of from what it does consist of, without a server.

Every job gets one place. Where several keys name a job, the one that loses least wins: a job that may not have run is
put in line rather than forgotten, and a job whose payload is gone becomes `failed`, with that as its error. For a
partition in order the outcome is what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastjobs.operating.fsck.claim import claim
from fastjobs.operating.fsck.contents import Contents, Rescue, Write
from fastjobs.operating.fsck.differ import Miscount, differences, miscounts
from fastjobs.operating.fsck.findings import Finding, Found
from fastjobs.operating.fsck.inventory import Terms, take_inventory
from fastjobs.operating.fsck.settle_chunks import settle_chunks
from fastjobs.operating.fsck.settle_records import settle_records
from fastjobs.operating.fsck.settle_recurring import settle_recurring
from fastjobs.operating.fsck.wanted import Wanted


@dataclass(frozen=True, slots=True)
class Plan:
    """The findings, and the writes that repair them."""

    findings: list[Found]
    #: Written first: the other writes rely on them.
    rescues: Sequence[Rescue]
    #: In an order in which no job is ever nowhere, however far they are carried out.
    writes: list[Write]
    #: Written together with the last of them.
    miscounts: list[Miscount]

    @property
    def clean(self) -> bool:
        """Whether all fits."""
        return not (self.findings or self.writes or self.miscounts)

    @property
    def all_writes(self) -> list[Write]:
        """Everything that it writes."""
        rescues, counters = (one.write for one in self.rescues), (one.write for one in self.miscounts)
        return [*rescues, *self.writes, *counters]


def make_plan(contents: Contents, terms: Terms, rescues: Sequence[Rescue] = ()) -> Plan:
    """Compares all that is stored of a partition at one instant, and after the rescue of damaged chunks."""
    inventory, wanted = take_inventory(contents, terms), Wanted()
    for rescue in rescues:
        inventory.note(Finding.CHUNK_PLACE_DAMAGED, rescue.write.name)
    claims = claim(inventory, wanted)
    settle_records(inventory, claims, wanted)
    settle_chunks(inventory, claims, wanted)
    settle_recurring(inventory, wanted)
    wrong = list(miscounts(inventory, wanted, max(claims.fences, default=0)))
    return Plan(inventory.findings.all, rescues, list(differences(contents, wanted)), wrong)
