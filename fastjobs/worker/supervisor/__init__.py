"""The parent of a worker's processes: starts, renews, settles, replaces and stops them."""
