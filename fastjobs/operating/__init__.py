"""Finds, lists and changes jobs, queues, workers and recurring jobs, for operators and programs; checks and repairs."""
