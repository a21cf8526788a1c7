"""How to reach a server: URLs, connections, clusters, and sending again what was not answered."""
