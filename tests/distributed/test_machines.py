"""Several machines and one server: workers that are cut off lose their jobs to others, and cannot report them later."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from fastjobs import Status
from tests.distributed.conftest import MakeLab
from tests.harness.network import Network, can_make_networks
from tests.harness.tcp_server import TcpServer

pytestmark = pytest.mark.skipif(not can_make_networks(), reason="needs root and iproute2")


class Machines:
    """A network, with the server on its first machine."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.server = TcpServer(host=network.hosts[0])
        self.url = f"redis://{self.server.address}"

    def client(self) -> redis.Redis:
        return self.server.client()


@pytest.fixture
def machines() -> Iterator[Machines]:
    with Network(3) as network:
        made = Machines(network)
        try:
            made.server.start()
            yield made
        finally:
            made.server.close()


def test_a_machine_that_is_cut_off_loses_its_jobs_and_cannot_report_them_later(
    make_lab: MakeLab, machines: Machines
) -> None:
    lab = make_lab(machines, partitions=2, socket_timeout_s=0.5)
    cut, other = machines.network.hosts[1:]
    gate = lab.gate()
    stranded = lab.worker("-c", "4", under=cut.prefix).wait_ready()
    for number in range(4):
        lab.jobs.hold.enqueue(number, str(gate))
    lab.wait_started(*range(4))
    rescuer = lab.worker("-c", "8", under=other.prefix).wait_ready()
    cut.cut_off()
    lab.wait(lambda: all(lab.ledger.count("START", number) == 2 for number in range(4)), "they run elsewhere")
    gate.touch()
    lab.wait(lambda: lab.count(Status.FINISHED) == 4, "they have finished elsewhere")
    cut.plug_in()
    stranded.wait_for_log("lease lost, its jobs will run elsewhere")
    # Each ran once more than it should have, and was counted once.
    lab.wait(lambda: all(lab.ledger.count("END", number) == 2 for number in range(4)), "both runs have ended")
    assert lab.count(Status.FINISHED) == 4
    assert sum(lab.field("finished_total", name) for name in lab.app.jobs.partitions("default")) == 4
    # Healed, it works on.
    stranded.wait_for_log("process ready", 2)
    rescuer.stop()
    lab.jobs.note.enqueue("after")
    lab.wait_ended("after")


@pytest.mark.slow
def test_workers_on_several_machines_run_each_job_once(make_lab: MakeLab, machines: Machines) -> None:
    lab = make_lab(machines)
    workers = [lab.worker("-p", "2", under=host.prefix).wait_ready(2) for host in machines.network.hosts[1:]]
    lab.jobs.number.enqueue_many(range(20_000))
    lab.wait(lambda: lab.count(Status.FINISHED) >= 20_000, "all has run")
    assert lab.ledger.number_counts() == dict.fromkeys(range(20_000), 1)
    for worker in workers:
        assert worker.stop() == 0
