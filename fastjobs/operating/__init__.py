"""What operators and programs ask and change: jobs, queues, workers, recurring jobs, repair."""
