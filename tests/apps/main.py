"""The app of most tests: all handlers, settings from the environment."""

from fastjobs import FastJobs
from tests.apps.handlers import register

app = FastJobs()
register(app)
