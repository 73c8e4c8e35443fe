"""A broker that lets in who it knows, over connections that nobody else reads: what its tests share."""

import os
import subprocess
import unittest

from support import scene as scenes
from support.book import event_text
from support.private_stack import PrivateStack
from support.scene import wait_until

EVENTS = 100


def certificate(folder, name, subject, alternative=None, authority=None):
    """The PEM files of a certificate and its key: its own authority, or signed by `authority`, such a pair."""
    cert, key = f"{folder}/{name}.cert.pem", f"{folder}/{name}.key.pem"
    signed = ["-CA", authority[0], "-CAkey", authority[1]] if authority else []
    names = ["-addext", f"subjectAltName={alternative}"] if alternative else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-subj", f"/CN={subject}", "-keyout", key, "-out", cert, *signed, *names],
                   check=True, capture_output=True)
    return cert, key


def login(listener, user, password):
    """A broker's properties: SASL/PLAIN at this listener, for one user."""
    return {"sasl.enabled.mechanisms": "PLAIN", f"listener.name.{listener}.plain.sasl.jaas.config":
            f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";'}


class SecureBroker(unittest.TestCase):
    @classmethod
    def start(cls, protocols, properties):
        """Scenes stand on a broker with these listeners from now on (private_stack.py)."""
        cls.stack = PrivateStack()
        cls.addClassCleanup(cls.stack.stop)
        scenes.use_stack(cls.stack.start_with_listeners(protocols, properties))

    def publish(self, scene, listener, *arguments, **environment):
        lines = "".join(event_text(f"id-{i}", "tenant", "call", {"status": "ok", "key": "k"}) + "\n"
                        for i in range(EVENTS))
        return subprocess.run([f"{scenes.BIN}/tally-producer", "publish", "-", "--brokers",
                               self.stack.listeners[listener], "--topic", scene.topic, *arguments],
                              input=lines, capture_output=True, text=True, timeout=100,
                              env=dict(os.environ, **environment), check=False)

    def expect_published(self, scene, listener, *arguments, **environment):
        done = self.publish(scene, listener, *arguments, **environment)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(sum(scene.ends().values()), EVENTS)

    def expect_counted(self, scene, listener, *arguments):
        """By an aggregator that reads there; its log."""
        aggregator = scene.aggregator(brokers=self.stack.listeners[listener], arguments=arguments)
        wait_until(lambda: sum(scene.committed().values()) == EVENTS,
                   lambda: f"all counted: {scene.committed()} {aggregator.get('/readyz')}", 60)
        self.assertEqual(scene.value("SELECT sum(counted) FROM tally.ledger"), str(EVENTS))
        aggregator.await_ready()
        aggregator.stop()
        return aggregator.log()
