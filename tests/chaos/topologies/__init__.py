"""The servers a chaos run can be made on, by name."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.topologies.base import Topology
from tests.chaos.topologies.cluster import ClusterTopology
from tests.chaos.topologies.sentinel import SentinelTopology
from tests.chaos.topologies.single import SingleServer

TOPOLOGIES: dict[str, Callable[[], Topology]] = {
    "single": SingleServer,
    "sentinel": SentinelTopology,
    "cluster": ClusterTopology,
}
