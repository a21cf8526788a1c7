"""A cluster: calls find their node, slots move and masters die under load, and nothing is lost or half-applied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

from fastjobs import FastJobs, Status
from fastjobs.errors import StoreError
from fastjobs.store.keys import queue_keys, queues_key
from fastjobs.store.store import Store
from tests.distributed.conftest import PARTITIONS, MakeLab
from tests.distributed.rights import minimal_user
from tests.harness.cluster import NODE_TIMEOUT_MS, LocalCluster, brief_pause
from tests.harness.commands import SCRIPTS, run
from tests.harness.load import Load
from tests.harness.network import Network, can_make_networks
from tests.harness.snapshot import check_invariants, take_snapshot
from tests.harness.tcp_server import TcpServer
from tests.harness.waiting import wait_until
from tests.harness.worker import Lab

#: What a failover may take beyond the time after which a node is taken for dead.
FAILOVER_S = NODE_TIMEOUT_MS / 1000 + 3


@pytest.fixture
def lab(shared_cluster: LocalCluster, make_lab: MakeLab) -> Lab:
    return make_lab(shared_cluster)


def keys_of(lab: Lab, partition: str = "default") -> Any:
    return lab.app._store().keys(partition)


def slots_of(lab: Lab) -> dict[str, int]:
    """Partition -> its slot."""
    return {name: key_slot(keys_of(lab, name).stats) for name in lab.app.jobs.partitions("default")}


def another_master(cluster: LocalCluster, slot: int) -> TcpServer:
    owner = cluster.owner_of_slot(slot)
    return next(node for node in cluster.masters() if node is not owner)


def check_all(lab: Lab, cluster: LocalCluster) -> None:
    """Checks the invariants of every partition, read from its master."""
    for name in lab.app.jobs.partitions("default"):
        keys = keys_of(lab, name)
        with cluster.owner(keys.stats).client() as client:
            check_invariants(take_snapshot(client, keys))


def lost(lab: Lab, load: Load) -> set[int]:
    """The accepted numbers that never ran, when all that is stored has."""

    def done() -> bool:
        counts = lab.app.jobs.counts(["default"])["default"]
        return not any(counts[status] for status in (Status.QUEUED, Status.EXECUTING, Status.RETRYING))

    lab.wait(done, "all has run", 60)
    return set(load.accepted) - lab.ledger.number_counts().keys()


def expect_all_ran(lab: Lab, load: Load, cluster: LocalCluster) -> dict[int, int]:
    """Waits until what was accepted has run; returns how often each number ran."""
    gone = lost(lab, load)
    assert not gone, f"{len(gone)} of {len(load.accepted)} accepted jobs are lost: {sorted(gone)[:10]}"
    ran = lab.ledger.number_counts()
    assert not set(load.refused) & ran.keys(), "a job ran that was certainly not stored"
    check_all(lab, cluster)
    return ran


# Where calls go.


def test_partitions_are_spread_over_the_masters_and_each_job_runs_once(lab: Lab, shared_cluster: LocalCluster) -> None:
    ids = lab.jobs.number.enqueue_many(range(20_000))
    owners = {shared_cluster.owner(keys_of(lab, name).stats).port for name in slots_of(lab)}
    assert len(owners) > 1
    assert lab.app.jobs.counts(["default"])["default"][Status.QUEUED] == 20_000
    assert lab.app.jobs.find(ids[19_999]).status is Status.QUEUED
    lab.burst("-p", "2")
    assert lab.ledger.number_counts() == dict.fromkeys(range(20_000), 1)
    check_all(lab, shared_cluster)


def test_a_worker_is_woken_by_a_job_in_any_partition(lab: Lab) -> None:
    lab.worker().wait_ready()
    for number in range(2 * PARTITIONS):
        lab.jobs.note.enqueue(number)
        lab.wait_ended(number)


def test_a_call_follows_its_slot_to_another_node(lab: Lab, shared_cluster: LocalCluster) -> None:
    jobs = [lab.jobs.number.enqueue(number) for number in range(PARTITIONS)]
    for slot in set(slots_of(lab).values()):
        shared_cluster.move_slot(slot, another_master(shared_cluster, slot))
    for job in jobs:
        assert job.cancel().status is Status.CANCELLED
    assert lab.app.jobs.count(Status.CANCELLED) == PARTITIONS


def test_a_call_for_keys_that_have_moved_ahead_is_asked_for_there_once(lab: Lab, shared_cluster: LocalCluster) -> None:
    lab.jobs.number.enqueue(0)
    slot = slots_of(lab)["default"]
    target = another_master(shared_cluster, slot)
    source = shared_cluster.begin_moving(slot, target)
    try:
        shared_cluster.move_keys(slot, source, target)
        # A plain command is answered with ASK by the old owner: its key is not there any more.
        assert lab.app.jobs.counts(["default"])["default"][Status.QUEUED] == 1
        assert shared_cluster.owner_of_slot(slot) is source
    finally:
        shared_cluster.end_moving(slot, target)
    assert lab.app.jobs.counts(["default"])["default"][Status.QUEUED] == 1


def test_while_the_keys_of_a_slot_are_apart_calls_wait_and_nothing_is_half_done(
    lab: Lab, shared_cluster: LocalCluster
) -> None:
    job = lab.jobs.number.options(job_id="waits").enqueue(7)
    slot = key_slot(keys_of(lab, job.partition).stats)
    target = another_master(shared_cluster, slot)
    source = shared_cluster.begin_moving(slot, target)
    keys = keys_of(lab, job.partition)
    impatient = FastJobs(shared_cluster.url, namespace=lab.namespace, partitions=PARTITIONS, retry_budget_s=0.2)
    try:
        source.call("MIGRATE", "127.0.0.1", target.port, keys.ready, 0, 5000)
        with pytest.raises(StoreError, match="TRYAGAIN"):
            # As a worker's supervisor has it: without patience.
            Store(impatient._endpoint.connect(), impatient.config).batch().clear(job.partition).run()
        shared_cluster.move_keys(slot, source, target)
    finally:
        shared_cluster.end_moving(slot, target)
        impatient.close()
    assert job.refresh().status is Status.QUEUED
    check_all(lab, shared_cluster)


# Under load.


def test_slots_move_key_by_key_under_load(make_lab: MakeLab, own_cluster: LocalCluster) -> None:
    lab = make_lab(own_cluster)
    lab.worker("-p", "2").wait_ready(2)
    with Load(lab.jobs.number) as load:
        load.wait_for_more(50)
        for slot in sorted(set(slots_of(lab).values())):
            own_cluster.move_slot(slot, another_master(own_cluster, slot), brief_pause)
            load.wait_for_more(20)
    ran = expect_all_ran(lab, load, own_cluster)
    assert not load.unknown
    assert set(ran.values()) == {1}


@pytest.mark.slow
def test_slots_move_atomically_under_load(make_lab: MakeLab, own_cluster: LocalCluster) -> None:
    if not own_cluster.moves_slots():
        pytest.skip("this server does not move slots by itself")
    lab = make_lab(own_cluster)
    lab.worker("-p", "2").wait_ready(2)
    with Load(lab.jobs.number) as load:
        load.wait_for_more(50)
        for slot in sorted(set(slots_of(lab).values())):
            own_cluster.move_slot_atomically(slot, another_master(own_cluster, slot))
            load.wait_for_more(20)
    ran = expect_all_ran(lab, load, own_cluster)
    assert set(ran.values()) == {1}


def test_a_master_dies_under_load_and_its_replica_takes_over(make_lab: MakeLab, own_cluster: LocalCluster) -> None:
    lab = make_lab(own_cluster)
    worker = lab.worker("-p", "2").wait_ready(2)
    with Load(lab.jobs.number) as load:
        load.wait_for_more(50)
        own_cluster.owner_of_slot(slots_of(lab)["default"]).kill()
        load.wait_for_more(100)
    assert load.longest_gap_s() < FAILOVER_S
    ran = expect_all_ran(lab, load, own_cluster)
    duplicates = sum(ran.values()) - len(ran)
    print(json.dumps({"accepted": len(load.accepted), "duplicates": duplicates, "gap_s": load.longest_gap_s()}))
    assert worker.stop() == 0


@pytest.mark.slow
def test_replicated_jobs_survive_the_death_of_their_master(make_lab: MakeLab, own_cluster: LocalCluster) -> None:
    lab = make_lab(own_cluster, durability="replicated")
    lab.worker("-p", "2").wait_ready(2)
    with Load(lab.jobs.number, 10) as load:
        load.wait_for_more(30)
        own_cluster.owner_of_slot(slots_of(lab)["default"]).kill()
        # Where the promoted replica has none of its own, each call raises, after its time.
        load.wait_for_more(5, 60)
    expect_all_ran(lab, load, own_cluster)


def takes_over(cluster: LocalCluster, slot: int) -> None:
    """Waits until a slot of a node that is gone, frozen or cut off has another master."""
    wait_until(lambda: cluster.living_owner(slot) is not None, 30, "its replica takes over")


@pytest.mark.slow
def test_a_frozen_master_is_replaced_under_load_and_comes_back_as_a_replica(
    make_lab: MakeLab, own_cluster: LocalCluster
) -> None:
    lab = make_lab(own_cluster)
    worker = lab.worker("-p", "2").wait_ready(2)
    slot = slots_of(lab)["default"]
    with Load(lab.jobs.number) as load:
        load.wait_for_more(50)
        former = own_cluster.owner_of_slot(slot)
        former.freeze()
        frozen_at = len(load.accepted)
        try:
            takes_over(own_cluster, slot)
            load.wait_for_more(100)
        finally:
            former.thaw()
        wait_until(own_cluster.settled, 30, "the former master follows")
        load.wait_for_more(50)
    assert load.longest_gap_s() < FAILOVER_S
    gone = lost(lab, load)
    # At most what was on its way to the replica: nobody writes to the former master when it is back.
    assert gone <= set(load.accepted[max(0, frozen_at - 50) : frozen_at + 1])
    check_all(lab, own_cluster)
    assert worker.stop() == 0


@pytest.mark.slow
def test_replicated_jobs_survive_a_frozen_master(make_lab: MakeLab, own_cluster: LocalCluster) -> None:
    lab = make_lab(own_cluster, durability="replicated")
    lab.worker("-p", "2").wait_ready(2)
    slot = slots_of(lab)["default"]
    with Load(lab.jobs.number, 10) as load:
        load.wait_for_more(30)
        former = own_cluster.owner_of_slot(slot)
        former.freeze()
        try:
            takes_over(own_cluster, slot)
        finally:
            former.thaw()
        wait_until(own_cluster.settled, 30, "the former master follows")
        load.wait_for_more(30)
    expect_all_ran(lab, load, own_cluster)


@pytest.fixture
def apart_cluster() -> Iterator[LocalCluster]:
    """A cluster with a machine for each node."""
    if not can_make_networks():
        pytest.skip("needs root and iproute2")
    with Network(6) as network, LocalCluster(hosts=network.hosts) as cluster:
        yield cluster


@pytest.mark.slow
def test_a_master_that_is_cut_off_from_the_others_is_left_by_its_clients(
    make_lab: MakeLab, apart_cluster: LocalCluster
) -> None:
    lab = make_lab(apart_cluster)
    slot = slots_of(lab)["default"]
    with Load(lab.jobs.number) as load:
        load.wait_for_more(50)
        former = apart_cluster.owner_of_slot(slot)
        former.cut_off(apart_cluster.nodes)
        cut_off_at = len(load.accepted)
        takes_over(apart_cluster, slot)
        # It is cut off still, and says to whoever asks that the slots are its own.
        load.wait_for_more(200)
        resumed_at = len(load.accepted)
        load.wait_for_more(50)
        former.join(apart_cluster.nodes)
        wait_until(apart_cluster.settled, 30, "the former master follows")
        load.wait_for_more(50)
    lab.worker("-p", "2")
    gone = lost(lab, load)
    print(json.dumps({"accepted": len(load.accepted), "lost": len(gone), "gap_s": load.longest_gap_s()}))
    assert load.longest_gap_s() < FAILOVER_S
    assert gone, "being cut off did not do what it is for"
    # Only what it accepted until it noticed, a node timeout later.
    assert gone <= set(load.accepted[max(0, cut_off_at - 50) : resumed_at])
    check_all(lab, apart_cluster)


@pytest.mark.slow
def test_replicated_jobs_survive_a_master_that_is_cut_off(make_lab: MakeLab, apart_cluster: LocalCluster) -> None:
    lab = make_lab(apart_cluster, durability="replicated", retry_budget_s=5.0)
    slot = slots_of(lab)["default"]
    with Load(lab.jobs.number, 5) as load:
        load.wait_for_more(30)
        former = apart_cluster.owner_of_slot(slot)
        former.cut_off(apart_cluster.nodes)
        takes_over(apart_cluster, slot)
        wait_until(lambda: load.unknown, 30, "an enqueue says that it is not safe")
        former.join(apart_cluster.nodes)
        wait_until(apart_cluster.settled, 30, "the former master follows")
        load.wait_for_more(30)
    lab.worker("-p", "2")
    expect_all_ran(lab, load, apart_cluster)


@pytest.mark.slow
def test_a_cluster_that_lacks_a_master_and_its_replica_is_waited_for(
    make_lab: MakeLab, own_cluster: LocalCluster
) -> None:
    lab = make_lab(own_cluster)
    lab.worker().wait_ready()
    with Load(lab.jobs.number) as load:
        load.wait_for_more(30)
        master = own_cluster.owner_of_slot(slots_of(lab)["default"])
        replica = own_cluster.replica_of(master)
        replica.kill()
        master.kill()
        survivor = own_cluster.masters()[0]
        wait_until(lambda: _is_down(survivor), 30, "the cluster is down")
        master.start()
        replica.start()
        load.wait_for_more(30, 60)
    expect_all_ran(lab, load, own_cluster)


def _is_down(node: TcpServer) -> bool:
    return b"cluster_state:fail" in node.call("CLUSTER", "INFO")


@pytest.mark.slow
def test_jobs_are_stored_while_the_node_that_has_the_list_of_queues_is_down(own_cluster: LocalCluster) -> None:
    app = FastJobs(own_cluster.url, namespace="list", retry_budget_s=2.0, socket_timeout_s=1.0)
    kind = app.job(name="work")(print)
    for node in own_cluster.nodes:
        node.call("CONFIG", "SET", "cluster-require-full-coverage", "no")
    down = own_cluster.owner(queues_key("list"))
    queues = [f"q{number}" for number in range(20)]
    elsewhere = [name for name in queues if own_cluster.owner(queue_keys("list", name).stats) is not down]
    kind.options(queue=elsewhere[0]).enqueue(0)
    own_cluster.replica_of(down).kill()
    down.kill()
    jobs = [kind.options(queue=name).enqueue(1) for name in elsewhere[1:4]]
    ids = app.enqueue_many([kind.options(queue=elsewhere[4]).call(number) for number in range(3)])
    assert len({job.id for job in jobs} | set(ids)) == 6
    for name, number in zip(elsewhere[:5], (b"1", b"1", b"1", b"1", b"3"), strict=True):
        stats = queue_keys("list", name).stats
        assert own_cluster.owner(stats).call("HGET", stats, "queued") == number
    app.close()


# Rights.


@pytest.fixture
def limited(own_cluster: LocalCluster) -> str:
    """The URL of a user with the documented rights only: whatever a script touches, it has declared."""
    for node in own_cluster.nodes:
        node.call(*minimal_user("s3cret", "+cluster|slots", "+asking"))
    return own_cluster.url.replace("://", "://fastjobs:s3cret@")


@pytest.mark.slow
def test_a_user_with_the_documented_rights_is_enough_while_slots_move(
    make_lab: MakeLab, own_cluster: LocalCluster, limited: str
) -> None:
    lab = make_lab(own_cluster, limited)
    worker = lab.worker("-p", "2").wait_ready(2)
    with Load(lab.jobs.number) as load:
        load.wait_for_more(50)
        for slot in sorted(set(slots_of(lab).values()))[:3]:
            own_cluster.move_slot(slot, another_master(own_cluster, slot), brief_pause)
            load.wait_for_more(20)
    ran = expect_all_ran(lab, load, own_cluster)
    assert set(ran.values()) == {1}
    assert "NOPERM" not in worker.log
    denied = [
        dict(zip(*[iter(entry)] * 2, strict=True)) for node in own_cluster.nodes for entry in node.call("ACL", "LOG")
    ]
    # What redis-py tells servers about itself when it connects, and does without.
    assert {entry[b"object"] for entry in denied} <= {b"client|setinfo", b"client"}


# Tools.


def test_the_tools_look_at_all_nodes(lab: Lab, shared_cluster: LocalCluster, tmp_path: Path) -> None:
    lab.jobs.number.enqueue_many(range(6000))
    here = partial(run, cwd=tmp_path, FASTJOBS_URL=shared_cluster.url, FASTJOBS_NAMESPACE=lab.namespace)
    looked = here(SCRIPTS / "fastjobs", "info", "--json")
    assert looked.returncode == 0, looked.stderr
    assert json.loads(looked.stdout)["queues"]["default"]["counts"]["queued"] == 6000
    compared = here(SCRIPTS / "fastjobs", "fsck", "--json")
    assert compared.returncode == 0, compared.stderr
    reports = [json.loads(line) for line in compared.stdout.splitlines()]
    assert {report["queue"] for report in reports} == set(lab.app.jobs.partitions("default"))
    assert {report["status"] for report in reports} == {"clean"}
    examined = here(SCRIPTS / "fastjobs", "doctor")
    assert "all scripts can be loaded" in examined.stdout, examined.stderr
