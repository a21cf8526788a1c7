"""The embedded server: one real, persistent Valkey or Redis per project, started when first needed.

Everything lives in `<project>/.fastjobs/`. Two file locks keep it to one server. `lock` is held by
whoever checks for a server and starts or stops it. `alive` is held by the server itself, which
inherits it: the kernel frees it when the server is gone, however it went. So a server that is still
starting, hangs or lost its socket is never mistaken for an absent one, nor a stale socket or pid
file for a running one.

What is stored in the server is the business of `store`; this package only sees that it runs.
"""

from fastjobs.server.embedded.binary import find_binary
from fastjobs.server.embedded.files import project_directory
from fastjobs.server.embedded.server import ServerInfo, start, status, stop

__all__ = ["ServerInfo", "find_binary", "project_directory", "start", "status", "stop"]
