"""A broker that lets in who knows the password: tally-producer and tally-aggregator are told it by a
secret file and by the environment, and tell it to nobody."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE, event_text  # noqa: E402
from support.private_stack import PrivateStack  # noqa: E402
from support.scene import BIN, Scene, use_stack, wait_until  # noqa: E402

USER, PASSWORD = "tally", "hunter2-of-the-test"
FLAGS = ("--kafka.security.protocol=SASL_PLAINTEXT", "--kafka.sasl.mechanism", "PLAIN",
         f"--kafka.sasl.username={USER}")


class Sasl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = PrivateStack()
        cls.addClassCleanup(cls.stack.stop)
        use_stack(cls.stack.start_with_sasl(USER, PASSWORD))

    def publish(self, scene, *arguments, **environment):
        lines = "".join(event_text(f"id-{i}", "tenant", "call", {"status": "ok", "key": "k"}) + "\n"
                        for i in range(100))
        done = subprocess.run([f"{BIN}/tally-producer", "publish", "-", "--brokers", self.stack.secure,
                               "--topic", scene.topic, *arguments],
                              input=lines, capture_output=True, text=True, timeout=100,
                              env=dict(os.environ, **environment), check=False)
        self.assertNotIn(PASSWORD, done.stdout + done.stderr)
        return done

    def test_who_knows_the_password_publishes_and_counts(self):
        with Scene(CATALOGUE) as scene:
            secret = f"{scene.dir}/password"
            with open(secret, "w", encoding="utf-8") as file:
                file.write(PASSWORD + "\n")
            done = self.publish(scene, *FLAGS, TALLY_KAFKA_SASL_PASSWORD=PASSWORD)
            self.assertEqual(done.returncode, 0, done.stderr)
            aggregator = scene.aggregator(brokers=self.stack.secure,
                                          arguments=(*FLAGS, "--kafka.sasl.password-file", secret))
            wait_until(lambda: sum(scene.committed().values()) == 100,
                       lambda: f"all counted: {scene.committed()} {aggregator.get('/readyz')}", 60)
            aggregator.await_ready()
            self.assertNotIn(PASSWORD, aggregator.log())
            aggregator.stop()

    def test_who_does_not_is_told_and_delivers_nothing(self):
        with Scene(CATALOGUE) as scene:
            wrong = PASSWORD[::-1]
            done = self.publish(scene, *FLAGS, TALLY_KAFKA_SASL_PASSWORD=wrong)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertNotIn(wrong, done.stdout + done.stderr)
            self.assertEqual(sum(scene.ends().values()), 0)
            refused = self.publish(scene, "--kafka.sasl.password", wrong)
            self.assertEqual(refused.returncode, 2)
            self.assertIn("TALLY_KAFKA_SASL_PASSWORD", refused.stderr)
            self.assertNotIn(wrong, refused.stderr)


if __name__ == "__main__":
    unittest.main()
