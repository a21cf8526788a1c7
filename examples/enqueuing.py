"""Ways to enqueue: one, many, mixed, under a chosen id, gathered from threads; and arguments that cannot be stored.

python examples/enqueuing.py
"""

from fastjobs import FastJobs, JobIdConflict, PayloadError

app = FastJobs()  # uses FASTJOBS_URL, or starts an embedded server


@app.job(queue="letters")
def write(name: str, *, copies: int = 1) -> None:
    print(f"{name}: {copies}", flush=True)


@app.job(queue="sums")
def add(left: int, right: int) -> None:
    print(f"{left} + {right} = {left + right}", flush=True)


def main() -> None:
    job = write.enqueue("Ada", copies=2)
    print(f"{job.id} is {job.refresh().status}")

    # A tuple gives positional arguments, a dict keyword arguments, anything else is the one argument.
    pairs = add.enqueue_many((number, number) for number in range(1000))
    names = write.enqueue_many(["Bo", {"name": "Cy", "copies": 3}])
    print(f"{len(pairs)} and {len(names)} more, the last one is {names[-1]}")

    mixed = app.enqueue_many([write.call("Di"), add.call(1, 2), write.options(priority=10).call("Ed")])
    print(f"{len(mixed)} of several types")

    first = write.options(job_id="invoice-17").enqueue("Flo")
    again = write.options(job_id="invoice-17").enqueue("Flo")
    print(f"the same job: {first.id == again.id}")
    try:
        write.options(job_id="invoice-17").enqueue("Gus")
    except JobIdConflict as error:
        print(error)

    with app.buffered(linger_s=0.005) as buffer:
        for number in range(100):
            add.enqueue(number, 0)
        buffer.flush()  # from here on they are certainly stored
    try:
        add.enqueue_many([(1, 2), (3, float("nan"))])
    except PayloadError as error:
        print(f"item {error.index}, {error}; stored before it: {len(error.enqueued or ())}")

    worker = app.pool(processes=1, burst=True)
    worker.start()
    worker.wait()


if __name__ == "__main__":
    main()
