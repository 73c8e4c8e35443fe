"""A broker that speaks TLS: events are published and counted over it, and whoever cannot prove who he is, the broker
or the client, is refused with a sentence that names the setting, and nothing is sent."""

import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE  # noqa: E402
from support.scene import Scene  # noqa: E402
from support.secure import SecureBroker, certificate, login  # noqa: E402

USER, PASSWORD = "tally", "hunter2-of-the-test"
UNVERIFIED = r"certificate verify failed.*kafka\.ssl\.ca\.location"


class Tls(SecureBroker):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tally-tls-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        ours = certificate(cls.folder, "authority", "the authority")
        cls.other, _ = certificate(cls.folder, "other", "the other authority")
        cls.client = certificate(cls.folder, "client", "tally", authority=ours)
        cls.self_made = certificate(cls.folder, "self-made", "tally")
        cls.tls = ("--kafka.security.protocol=ssl", f"--kafka.ssl.ca.location={ours[0]}")
        cls.start(
            {"TLS": "SSL", "MUTUAL": "SSL", "ELSEWHERE": "SSL", "SASL": "SASL_SSL"},
            {"ssl.keystore.type": "PEM", "ssl.truststore.type": "PEM", "ssl.truststore.location": ours[0],
             "ssl.keystore.location": cls.keystore("broker", "IP:127.0.0.1", ours),
             "listener.name.mutual.ssl.client.auth": "required",
             "listener.name.elsewhere.ssl.keystore.type": "PEM",
             "listener.name.elsewhere.ssl.keystore.location": cls.keystore("elsewhere", "DNS:kafka.example", ours),
             **login("sasl", USER, PASSWORD)})

    @classmethod
    def keystore(cls, name, alternative, authority):
        """What a listener shows: its key and its certificate in one file."""
        path = f"{cls.folder}/{name}.keystore.pem"
        with open(path, "w", encoding="utf-8") as store:
            for part in reversed(certificate(cls.folder, name, name, alternative, authority)):
                with open(part, encoding="utf-8") as file:
                    store.write(file.read())
        return path

    def expect_refused(self, listener, sentence, *arguments, **environment):
        with Scene(CATALOGUE) as scene:
            done = self.publish(scene, listener, *arguments, **environment)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertRegex(done.stdout + done.stderr, sentence)
            self.assertEqual(sum(scene.ends().values()), 0)

    def expect_through(self, listener, *arguments, **environment):
        with Scene(CATALOGUE) as scene:
            self.expect_published(scene, listener, *arguments, **environment)
            return self.expect_counted(scene, listener, *arguments)

    def test_events_are_published_and_counted(self):
        self.expect_through("TLS", *self.tls)

    def test_a_client_certificate_is_shown(self):
        cert, key = self.client
        self.expect_through("MUTUAL", *self.tls, f"--kafka.ssl.certificate.location={cert}",
                            f"--kafka.ssl.key.location={key}")

    def test_a_password_over_tls(self):
        secret = f"{self.folder}/password"
        with open(secret, "w", encoding="utf-8") as file:
            file.write(PASSWORD + "\n")
        sasl = ("--kafka.security.protocol=sasl_ssl", self.tls[1], "--kafka.sasl.mechanism=PLAIN",
                f"--kafka.sasl.username={USER}")
        log = self.expect_through("SASL", *sasl, "--kafka.sasl.password-file", secret)
        self.assertNotIn(PASSWORD, log)
        self.expect_refused("SASL", "SASL authentication error", *sasl, TALLY_KAFKA_SASL_PASSWORD=PASSWORD[::-1])

    def test_a_broker_of_another_authority_is_refused(self):
        wrong = ("--kafka.security.protocol=ssl", f"--kafka.ssl.ca.location={self.other}")
        self.expect_refused("TLS", UNVERIFIED, *wrong)
        with Scene(CATALOGUE) as scene:
            aggregator = scene.aggregator(brokers=self.stack.listeners["TLS"], arguments=wrong)
            aggregator.await_not_ready("kafka: no answer from")
            self.assertIn("certificate verify failed", aggregator.log())

    def test_a_broker_with_the_certificate_of_another_host_is_refused(self):
        self.expect_refused("ELSEWHERE", UNVERIFIED, *self.tls)
        self.expect_through("ELSEWHERE", *self.tls, "--kafka.ssl.endpoint.identification.algorithm=none")

    def test_a_broker_that_speaks_tls_is_not_taken_for_one_that_is_away(self):
        self.expect_refused("TLS", "might be caused by incorrect security.protocol")

    def test_a_client_without_a_certificate_of_the_authority_is_refused(self):
        self.expect_refused("MUTUAL", "SSL alert number", *self.tls)
        cert, key = self.self_made
        self.expect_refused("MUTUAL", "SSL alert number", *self.tls, f"--kafka.ssl.certificate.location={cert}",
                            f"--kafka.ssl.key.location={key}")

    def test_a_file_that_is_not_there_ends_the_program_with_the_name_of_its_setting(self):
        with Scene(CATALOGUE) as scene:
            done = self.publish(scene, "TLS", self.tls[0], f"--kafka.ssl.ca.location={self.folder}/nothing.pem")
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
            self.assertIn("ssl.ca.location", done.stderr)


if __name__ == "__main__":
    unittest.main()
