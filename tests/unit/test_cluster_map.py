"""Who is asked where the slots of a cluster are."""

from __future__ import annotations

import pytest

from fastjobs.server.cluster import Cluster
from fastjobs.server.connection import Client
from fastjobs.server.urls import read_url

URL = "redis+cluster://10.0.0.1:1,10.0.0.2:2,10.0.0.3:3"


def test_a_node_that_may_be_cut_off_is_not_the_first_to_be_asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Client] = []
    monkeypatch.setattr(Client, "fileno", lambda client: 1)
    monkeypatch.setattr(Cluster, "_read_map", lambda cluster, client: asked.append(client))
    cluster = Cluster(read_url(URL), URL, 1.0)
    nodes = [cluster.client((f"10.0.0.{number}", number)) for number in (1, 2, 3)]
    for _ in nodes:
        cluster.stale = True
        assert cluster.owner_of(0) is None
    # Each of them answers, and each was the one whose answer counted.
    assert len(asked) == len(nodes)
    assert set(asked) == set(nodes)
