"""What was leased is not taken from a process only because the reply is still on its way to it."""

from __future__ import annotations

from tests.harness.proxy import Proxy
from tests.harness.worker import Lab

#: Several audits, one a lease, fall into it.
LATE_S = 3.0


def test_an_audit_leaves_what_a_wait_has_just_leased(own_server_lab: Lab) -> None:
    lab = own_server_lab
    with Proxy(lab.server.socket) as proxy:
        proxy.delay_replies(LATE_S, b"BLPOP")
        worker = lab.worker("-Q", "default", env={"FASTJOBS_URL": proxy.url}).wait_ready()
        lab.wait(lambda: "blpop" in {client["cmd"] for client in lab.redis.client_list()}, "it waits")
        lab.jobs.note.enqueue("once")
        # Fetched by the server the moment it is there, known to the process much later.
        lab.wait(lambda: lab.counts() == {"finished": 1}, "the job has run")
        proxy.delay_replies(0)
        lab.jobs.note.enqueue("after")
        lab.wait_ended("after")
        assert "released jobs that this process never received" not in worker.log
        assert lab.ledger.counts("START") == {"once": 1, "after": 1}
        assert worker.stop() == 0
