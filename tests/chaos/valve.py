"""A gate that can be shut, slowed or held while connections run through it."""

import threading
import time

from support.gate import Gate


class Valve(Gate):
    """open · cut: every connection is broken and new ones too · slow: each piece waits · held: no byte moves."""

    def __init__(self, host, port):
        self.mode = "open"
        self.delay_s = 0
        self.changed = threading.Condition()
        self.clients = set()
        super().__init__(host, port)

    def set(self, mode, delay_s=0):
        with self.changed:
            self.mode, self.delay_s = mode, delay_s
            self.changed.notify_all()
            clients = list(self.clients) if mode == "cut" else []
        for client in clients:
            try:
                client.shutdown(2)
            except OSError:
                pass  # it went by itself

    def _serve(self, client):
        with self.changed:
            if self.mode != "cut":
                self.clients.add(client)
        try:
            if client in self.clients:
                super()._serve(client)
        finally:
            client.close()
            with self.changed:
                self.clients.discard(client)

    def _pass(self, data, target, from_client):
        with self.changed:
            self.changed.wait_for(lambda: self.mode != "held")
            if self.mode == "cut":
                return False
        if self.mode == "slow":
            time.sleep(self.delay_s)
        return super()._pass(data, target, from_client)
