"""The rows of the table, in its order. A new row is a class in a module here, and a line below."""

from bench.rows.cluster import ClusterVsOne, Partitions
from bench.rows.drain import Drain, ServerCpu
from bench.rows.enqueue import Buffered, EnqueueMany, EnqueueOne
from bench.rows.floats import Floats
from bench.rows.handlers import CpuHandlers, Mixed, Sleepers
from bench.rows.idle import Idle, Thousand
from bench.rows.latency import Latency, Start
from bench.rows.memory import ServerMemory, WorkerMemory
from bench.rows.row import Figure, Row, Setting
from bench.rows.scale import Scale
from bench.rows.singles import Singles
from bench.rows.waiters import Waiters

ROWS: tuple[type[Row], ...] = (
    EnqueueMany,
    Drain,
    ServerCpu,
    ServerMemory,
    EnqueueOne,
    Buffered,
    Floats,
    Latency,
    Sleepers,
    CpuHandlers,
    Mixed,
    Scale,
    WorkerMemory,
    Start,
)

#: Rows about the load of servers and clusters; run by `python -m bench.scaling`, or by name.
SCALING: tuple[type[Row], ...] = (ClusterVsOne, Partitions, Singles, Idle, Thousand, Waiters)

__all__ = ["ROWS", "SCALING", "Figure", "Row", "Setting"]
