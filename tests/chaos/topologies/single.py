"""One server, and a proxy before it for each client."""

from __future__ import annotations

import random
from contextlib import ExitStack, suppress

from tests.chaos.topologies.base import LEASE_MS, Fault, Server, Topology, Trouble, common_faults, span_s
from tests.harness.proxy import Behaviour, Proxy
from tests.harness.server import ServerProcess


class ProxyLine:
    """A line whose proxy does what networks do."""

    prefix = ()
    harmable = True

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.url = proxy.url
        self.harmed = False

    def harm(self, draw: random.Random) -> str:
        self.harmed = True
        if draw.random() < 0.2:
            self.proxy.delay_replies(draw.uniform(0.02, 0.3))
            return "delay"
        behaviour = draw.choice([each for each in Behaviour if each is not Behaviour.PASS])
        # Some of the replies, or all while it lasts.
        self.proxy.behave(behaviour, draw.choice((1, 3, None)))
        return behaviour.value

    def heal(self) -> None:
        self.proxy.delay_replies(0)
        self.proxy.heal()
        self.harmed = False


class SingleServer(Topology):
    """One server with an append-only file."""

    def __init__(self) -> None:
        super().__init__()
        self._server = ServerProcess()
        self._proxies = ExitStack()

    def start(self) -> None:
        self._server.start()

    @property
    def url(self) -> str:
        return self._server.url

    def worker_line(self) -> ProxyLine:
        return ProxyLine(self._proxies.enter_context(Proxy(self._server.socket)))

    def producers_line(self) -> ProxyLine:
        return self.worker_line()

    def owner(self, key: bytes) -> Server:
        return self._server

    def masters(self) -> list[Server]:
        return [self._server]

    def faults(self) -> list[Fault]:
        return [
            Fault("kill the server", 3, self._kill),
            Fault("freeze the server", 2, self._freeze),
            *common_faults(self),
        ]

    def _kill(self, draw: random.Random) -> Trouble:
        self._server.kill()
        return Trouble(draw.uniform(0.1, 1.5), lambda: self._server.start() and None)

    def _freeze(self, draw: random.Random) -> Trouble:
        self._server.freeze()
        return Trouble(span_s(draw, LEASE_MS), self._server.thaw)

    def close(self) -> None:
        with suppress(ProcessLookupError, AssertionError):
            self._server.thaw()
        self._proxies.close()
        self._server.close()
