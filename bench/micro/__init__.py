"""Small parts measured alone with pytest-benchmark: `python -m pytest bench/micro`."""
