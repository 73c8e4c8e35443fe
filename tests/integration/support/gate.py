"""A TCP gate before Postgres: passes bytes both ways, and can break a connection at the exact
moment when a COMMIT has been sent (or was about to be)."""

import re
import selectors
import socket
import threading

COMMIT = b"COMMIT\0"  # the end of a simple-query message


def setting(conninfo, name):
    """The first value of a setting in a libpq connection string."""
    return re.search(rf"{name}=(\S+)", conninfo).group(1)


class Gate:
    """plan: what to do at the next COMMITs, one entry each: "pass", "cut_answer" (the COMMIT
    reaches the server, its answer never comes back) or "cut_commit" (the COMMIT never reaches it)."""

    def __init__(self, host, port, plan=()):
        self.target = (host, port)
        self.plan = list(plan)
        self.struck = []
        self.lock = threading.Lock()
        self.closed = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.closed = True
        self.listener.close()

    def _accept(self):
        while not self.closed:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _next(self):
        with self.lock:
            return self.plan.pop(0) if self.plan else "pass"

    def _serve(self, client):
        try:
            server = socket.create_connection(self.target)
        except OSError:  # nobody listens there now
            client.close()
            return
        with client, server, selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in ready.select():
                    try:
                        data = key.fileobj.recv(1 << 16)
                        if not data or not self._pass(data, key.data, key.fileobj is client):
                            return
                    except OSError:
                        return

    def _pass(self, data, target, from_client):
        """Sends the bytes on; false: the connection ends here."""
        if from_client and data.endswith(COMMIT):
            action = self._next()
            if action != "pass":
                self._strike(action, data, target)
                return False
        target.sendall(data)
        return True

    def _strike(self, action, data, server):
        if action == "cut_answer":
            server.sendall(data)
            server.settimeout(10)
            server.recv(1 << 16)  # the server has answered: it is committed, but nobody hears it
        with self.lock:
            self.struck.append(action)
