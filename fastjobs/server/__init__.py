"""How to reach a server: URLs, connections, clusters, and sending calls again that were not answered."""
