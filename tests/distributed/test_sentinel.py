"""Sentinels: the master is killed, frozen and cut off under load; promises are kept, and what is lost is counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastjobs import Status
from fastjobs.config import Config
from fastjobs.errors import Unavailable
from fastjobs.server.connection import Client, server_version
from fastjobs.server.endpoint import Endpoint
from tests.distributed.conftest import MakeLab
from tests.harness.load import Load
from tests.harness.network import Network, can_make_networks
from tests.harness.sentinels import DOWN_AFTER_MS, Sentinels
from tests.harness.snapshot import check_invariants, take_snapshot
from tests.harness.waiting import wait_until
from tests.harness.worker import Lab

#: Until a majority of Sentinels agrees, chooses, promotes, and a client that was waiting for a dead master asks again.
FAILOVER_S = DOWN_AFTER_MS / 1000 + 6


@pytest.fixture
def sentinels() -> Iterator[Sentinels]:
    with Sentinels() as rig:
        yield rig


def done(lab: Lab) -> bool:
    counts = lab.app.jobs.counts(["default"])["default"]
    return not any(counts[status] for status in (Status.QUEUED, Status.EXECUTING, Status.RETRYING))


def lost(lab: Lab, load: Load) -> set[int]:
    """The accepted numbers that never ran, when all that is stored has."""
    lab.wait(lambda: done(lab), "all has run", 60)
    return set(load.accepted) - lab.ledger.number_counts().keys()


def check(lab: Lab, sentinels: Sentinels) -> None:
    with sentinels.client() as client:
        check_invariants(take_snapshot(client, lab.app._store().keys("default")))


def test_jobs_survive_the_death_of_the_master(make_lab: MakeLab, sentinels: Sentinels) -> None:
    lab = make_lab(sentinels, partitions=1)
    worker = lab.worker("-p", "2").wait_ready(2)
    former = sentinels.master()
    with Load(lab.jobs.number) as load:
        load.wait_for_more(50)
        former.kill()
        sentinels.wait_for_another(former)
        load.wait_for_more(50)
    assert load.longest_gap_s() < FAILOVER_S
    # Nothing was cut off: what the master answered, it had sent to its replicas.
    assert lost(lab, load) == set()
    check(lab, sentinels)
    assert worker.stop() == 0


@pytest.mark.slow
def test_jobs_on_a_masters_disk_are_where_it_has_sent_them_when_it_dies(
    make_lab: MakeLab, sentinels: Sentinels
) -> None:
    lab = make_lab(sentinels, partitions=1, durability="fsync")
    lab.worker("-p", "2").wait_ready(2)
    former = sentinels.master()
    with Load(lab.jobs.number) as load:
        load.wait_for_more(50)
        former.kill()
        died_at = len(load.accepted)
        sentinels.wait_for_another(former)
        load.wait_for_more(50)
        former.start()
        sentinels.wait_demoted(former)
        load.wait_for_more(50)
    gone = lost(lab, load)
    # WAITAOF says nothing of replicas: what was on its way to them may be lost, and nothing that was accepted later.
    assert gone <= set(load.accepted[max(0, died_at - 50) : died_at + 1])
    check(lab, sentinels)


@pytest.mark.slow
def test_jobs_survive_a_frozen_master_that_comes_back(make_lab: MakeLab, sentinels: Sentinels) -> None:
    lab = make_lab(sentinels, partitions=1, durability="replicated")
    lab.worker("-p", "2").wait_ready(2)
    former = sentinels.master()
    with Load(lab.jobs.number, 5) as load:
        load.wait_for_more(30)
        former.freeze()
        try:
            sentinels.wait_for_another(former)
            load.wait_for_more(30)
        finally:
            former.thaw()
        sentinels.wait_demoted(former)
        load.wait_for_more(30)
    assert lost(lab, load) == set()
    check(lab, sentinels)


@pytest.fixture
def apart() -> Iterator[tuple[Network, Sentinels]]:
    """Sentinels and servers on three machines; the first one has the master."""
    if not can_make_networks():
        pytest.skip("needs root and iproute2")
    with Network(3) as network, Sentinels(network.hosts) as rig:
        yield network, rig


def partition(network: Network, rig: Sentinels) -> None:
    """Cuts the master off from replicas and Sentinels, but not from its clients, until another one is promoted."""
    former = rig.master()
    network.hosts[0].drop_towards(*network.hosts[1:])
    rig.wait_for_another(former)


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["fire", "fsync"])
def test_fire_and_fsync_lose_what_only_a_master_that_was_cut_off_had(
    make_lab: MakeLab, apart: tuple[Network, Sentinels], durability: str
) -> None:
    network, rig = apart
    # The disk that `fsync` waits for is the master's own: it is overwritten when the master has to follow another.
    lab = make_lab(rig, partitions=1, durability=durability)
    with Load(lab.jobs.number) as load:
        load.wait_for_more(50)
        before = len(load.accepted)
        partition(network, rig)
        load.wait_for_more(50)
        during = len(load.accepted)
        network.hosts[0].reach_again(*network.hosts[1:])
        rig.wait_demoted(rig.servers[0])
        load.wait_for_more(50)
    lab.worker("-p", "2")
    gone = lost(lab, load)
    print(f"{len(load.accepted)} accepted, {len(gone)} lost, {during - before} accepted during the partition")
    assert gone, "the partition did not do what it is for"
    # Only what was accepted from the partition on until the demoted master had closed its connections.
    assert gone.isdisjoint(load.accepted[:before])
    assert gone.isdisjoint(load.accepted[-40:])
    check(lab, rig)


@pytest.mark.slow
def test_replicated_to_all_replicas_loses_nothing_that_was_accepted(
    make_lab: MakeLab, apart: tuple[Network, Sentinels]
) -> None:
    network, rig = apart
    # All replicas: one alone may go on following the master that was cut off, for a moment after another was promoted.
    lab = make_lab(rig, partitions=1, durability="replicated", replicas=2, retry_budget_s=5.0)
    with Load(lab.jobs.number, 5) as load:
        load.wait_for_more(30)
        partition(network, rig)
        wait_until(lambda: load.unknown, 30, "an enqueue says that it is not safe")
        network.hosts[0].reach_again(*network.hosts[1:])
        rig.wait_demoted(rig.servers[0])
        load.wait_for_more(30)
    lab.worker("-p", "2")
    gone = lost(lab, load)
    assert not gone, f"{len(gone)} lost: {sorted(gone)}; unknown {load.unknown[:3]} {load.reasons[:2]}"
    print(f"{len(load.accepted)} accepted, {len(load.unknown)} raised EnqueueUnknown, none of the accepted lost")
    check(lab, rig)


@pytest.mark.slow
def test_without_sentinels_that_know_a_master_nothing_is_served(sentinels: Sentinels) -> None:
    assert server_version(sentinels.url).split()[0] in {"valkey", "redis"}
    for process in (*sentinels.sentinels, *sentinels.servers[1:]):
        process.kill()
    client = Client(sentinels.url, 1.0)
    with pytest.raises(Unavailable, match="no Sentinel knows a master 'jobs'"):
        client.connect()


@pytest.mark.slow
def test_a_replica_is_not_taken_for_the_master(sentinels: Sentinels) -> None:
    replica = sentinels.servers[1]
    for sentinel in sentinels.sentinels:
        sentinel.kill()
    # Sentinels that have not noticed yet that their master was demoted.
    sentinels.servers[0].call("REPLICAOF", replica.host, replica.port)
    sentinels.wait_demoted(sentinels.servers[0])
    for sentinel in sentinels.sentinels[:1]:
        sentinel.start()
    client = Endpoint(Config(url=sentinels.url, socket_timeout_s=1.0)).connect()
    with pytest.raises(Unavailable, match="that should be the master is a slave"):
        client.connect()  # type: ignore[union-attr]
