# SPDX-License-Identifier: Apache-2.0
"""What most suites start from: an authority, a sink, and a gateway towards it."""
import os
import tempfile
import unittest

from certs import Authority
from gateway import Gateway, free_port, route
from sink import CAPS, Sink

NO_CHUNKING = [c for c in CAPS if c not in ("CHUNKING", "BINARYMIME")]


class Case(unittest.TestCase):
    """One authority a class; gateways and sinks made by a test end with it."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="postern-suite-")
        os.chmod(cls.folder, 0o755)
        cls.authority = Authority(os.path.join(cls.folder, "ca"))
        cls.sink_cert = cls.authority.issue("sink.example")

    def sink(self, **how):
        sink = Sink(port=how.pop("port", None) or free_port(), cert=how.pop("cert", self.sink_cert),
                    **how)
        self.addCleanup(sink.close)
        return sink

    def gateway(self, routes, listeners=None, settings=None):
        gateway = Gateway(routes, listeners, settings, self.authority).start()
        self.addCleanup(gateway.stop)
        return gateway

    def pair(self, level="encrypt", route_more=None, listeners=None, settings=None, **how):
        """(gateway, sink), with hop.example routed to the sink."""
        sink = self.sink(**how)
        more = dict(route_more or {})
        return self.gateway([route("hop.example", sink.port, level, **more)], listeners,
                            settings), sink
