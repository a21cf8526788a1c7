"""The app of demo.py: the jobs of index_files.py, and jobs that do nothing to see what a job costs."""

from index_files import app, index_file

__all__ = ["app", "index_file", "nothing"]


@app.job(queue="nothing", finished_keep_s=0)
def nothing(number: int) -> None:
    pass
