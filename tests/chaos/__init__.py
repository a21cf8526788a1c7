"""The chaos run: producers and workers under faults, judged by a journal that is kept outside the server."""
