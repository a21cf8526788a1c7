"""Scheduling: jobs run after a delay, at a time, spread over a while, or by priority.

python examples/scheduling.py
"""

import time
from datetime import UTC, datetime, timedelta

from fastjobs import FastJobs, Status

app = FastJobs()  # uses FASTJOBS_URL, or starts an embedded server


@app.job(queue="calls", priority=1)
def call(name: str) -> None:
    print(f"call {name}", flush=True)


def main() -> None:
    call.enqueue("Cy, first of the ordinary ones")
    call.enqueue("Di, second of the ordinary ones")
    call.options(priority=100).enqueue("Ed, before all others")
    low = call.options(priority=-5).enqueue("Flo, promoted while she waited")
    low.set_priority(50)

    # Among jobs of equal priority, the place of these is that of jobs enqueued when they are due: after Cy and Di.
    call.options(at=datetime.now(UTC) + timedelta(seconds=0.2)).enqueue("Bo, at a time")
    later = call.options(delay=0.5).enqueue("Ada, after half a second")
    print(f"{later.id} is {later.refresh().status}, due {later.due_at}")
    call.enqueue_many((f"number {number} of many" for number in range(20)), spread=0.4)

    # One process, one thread and nothing leased ahead: strictly by priority, then in the order they came.
    with app.pool(processes=1, threads=1, batch_size=1):
        while app.jobs.count(Status.SCHEDULED, queue="calls"):
            time.sleep(0.05)
        app.queue("calls").drain()


if __name__ == "__main__":
    main()
