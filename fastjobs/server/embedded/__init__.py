"""The embedded server: one real, persistent Valkey or Redis per project, started when first needed.

Everything is in `<project>/.fastjobs/`. Two file locks make sure that there is one server only. A process holds `lock`
while it checks for a server, and starts or stops it. The server itself inherits and holds `alive`: the kernel frees it
when the server is gone, for whatever reason. So a server that is still starting, hangs or lost its socket is never
mistaken for an absent one, nor a stale socket or pid file for a running one.

This package only runs the server; what is stored in it is the business of `store`.
"""

from fastjobs.server.embedded.binary import find_binary
from fastjobs.server.embedded.files import project_directory
from fastjobs.server.embedded.server import ServerInfo, start, status, stop

__all__ = ["ServerInfo", "find_binary", "project_directory", "start", "status", "stop"]
