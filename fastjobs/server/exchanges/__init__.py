"""The tries of one batch of calls: on one server, or on the nodes of a cluster."""
