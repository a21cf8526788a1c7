"""Recurring jobs: declares and stores two, lets a worker run them a few times, pauses one and removes both.

python examples/recurring.py
"""

import time

from fastjobs import FastJobs, Status

app = FastJobs()  # uses FASTJOBS_URL, or starts an embedded server


@app.job(queue="clock", retries=0)
def show(text: str, *, mark: str = "-") -> None:
    print(f"{time.strftime('%X')} {mark} {text}", flush=True)


def main() -> None:
    beat = show.every(1, "every second", id="example-beat").store()
    even = show.cron("*/2 * * * * *", "every even second", id="example-even", kwargs={"mark": "+"}).store()
    earlier = app.jobs.count(Status.FINISHED, queue="clock")
    with app.pool(processes=1, queues="clock"):
        while app.jobs.count(Status.FINISHED, queue="clock") < earlier + 6:
            time.sleep(0.1)
        beat.pause()
        print("the beat is paused", flush=True)
        time.sleep(2)
        job = beat.run_now()
        while job.refresh().status != Status.FINISHED:
            time.sleep(0.1)
        for recurring in app.recurring.list(queue="clock"):
            last = recurring.last_run
            print(f"{recurring.id}: {recurring.schedule}, next {recurring.next_due}, last {last and last.id}")
    beat.cancel()
    even.cancel()


if __name__ == "__main__":
    main()
