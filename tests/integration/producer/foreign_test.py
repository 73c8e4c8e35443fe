"""producer/examples in Python and for a shell (kcat, curl), with a real broker, daemon and aggregator."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.foreign import ForeignClients, python_client, shell_client  # noqa: E402


class PythonAndShell(ForeignClients, unittest.TestCase):
    clients = (python_client, shell_client)


if __name__ == "__main__":
    unittest.main(verbosity=2)
