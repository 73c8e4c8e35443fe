"""producer/examples in Go, Node and Java, with a real broker, daemon and aggregator. `./dev test --all` installs what they
are built with."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.foreign import ForeignClients, go_client, java_client, node_client  # noqa: E402


class GoNodeAndJava(ForeignClients, unittest.TestCase):
    clients = (go_client, node_client, java_client)


if __name__ == "__main__":
    unittest.main(verbosity=2)
