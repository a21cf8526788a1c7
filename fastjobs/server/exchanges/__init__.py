"""Sending one batch of calls until it is answered: to one server, or to the nodes of a cluster."""
