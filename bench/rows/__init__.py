"""The rows of the table, in its order. A new one is a class in a module here, and a line below."""

from bench.rows.drain import Drain, ServerCpu
from bench.rows.enqueue import Buffered, EnqueueMany, EnqueueOne
from bench.rows.handlers import CpuHandlers, Mixed, Sleepers
from bench.rows.latency import Latency, Start
from bench.rows.memory import ServerMemory, WorkerMemory
from bench.rows.row import Figure, Row, Setting
from bench.rows.scale import Scale

ROWS: tuple[type[Row], ...] = (
    EnqueueMany,
    Drain,
    ServerCpu,
    ServerMemory,
    EnqueueOne,
    Buffered,
    Latency,
    Sleepers,
    CpuHandlers,
    Mixed,
    Scale,
    WorkerMemory,
    Start,
)

__all__ = ["ROWS", "Figure", "Row", "Setting"]
