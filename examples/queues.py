"""Queues of a running worker: pause, inspect, resume, drain, clear; and the list of workers.

python examples/queues.py
"""

import time

from fastjobs import FastJobs, Status

app = FastJobs()  # uses FASTJOBS_URL, or starts an embedded server


@app.job(queue="photos")
def shrink(number: int) -> None:
    time.sleep(0.001)


def main() -> None:
    photos = app.queue("photos")
    photos.pause()
    shrink.enqueue_many(range(300))
    with app.pool(processes=2):
        while not app.workers.list():
            time.sleep(0.05)
        for worker in app.workers.list():
            print(f"a worker with {worker.processes} processes works on {', '.join(worker.queues)}")
        print(f"paused: {photos.paused}, {app.jobs.count(Status.QUEUED, queue='photos')} wait")
        print(f"the oldest has waited for {photos.latency().total_seconds():.1f} s")
        photos.resume()
        photos.drain(timeout_s=30)
        print(f"drained, {app.jobs.count(Status.FINISHED, queue='photos')} finished")
    shrink.enqueue_many(range(50))
    shrink.options(delay=3600).enqueue(50)
    print(f"cleared {photos.clear()}")


if __name__ == "__main__":
    main()
