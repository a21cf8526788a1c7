"""One process of a worker: leases jobs, runs them and reports what became of them."""
