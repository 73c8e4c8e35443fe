"""A broker that lets in who knows the password: tally-producer and tally-aggregator are told it by a
secret file and by the environment, and tell it to nobody."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.book import CATALOGUE  # noqa: E402
from support.scene import Scene  # noqa: E402
from support.secure import SecureBroker, login  # noqa: E402

USER, PASSWORD = "tally", "hunter2-of-the-test"
FLAGS = ("--kafka.security.protocol=SASL_PLAINTEXT", "--kafka.sasl.mechanism", "PLAIN",
         f"--kafka.sasl.username={USER}")


class Sasl(SecureBroker):
    @classmethod
    def setUpClass(cls):
        cls.start({"SECURE": "SASL_PLAINTEXT"}, login("secure", USER, PASSWORD))

    def publish(self, scene, listener, *arguments, **environment):
        done = super().publish(scene, listener, *arguments, **environment)
        self.assertNotIn(PASSWORD, done.stdout + done.stderr)
        return done

    def test_who_knows_the_password_publishes_and_counts(self):
        with Scene(CATALOGUE) as scene:
            secret = f"{scene.dir}/password"
            with open(secret, "w", encoding="utf-8") as file:
                file.write(PASSWORD + "\n")
            self.expect_published(scene, "SECURE", *FLAGS, TALLY_KAFKA_SASL_PASSWORD=PASSWORD)
            log = self.expect_counted(scene, "SECURE", *FLAGS, "--kafka.sasl.password-file", secret)
            self.assertNotIn(PASSWORD, log)

    def test_who_does_not_is_told_and_delivers_nothing(self):
        with Scene(CATALOGUE) as scene:
            wrong = PASSWORD[::-1]
            done = self.publish(scene, "SECURE", *FLAGS, TALLY_KAFKA_SASL_PASSWORD=wrong)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertNotIn(wrong, done.stdout + done.stderr)
            self.assertEqual(sum(scene.ends().values()), 0)
            refused = self.publish(scene, "SECURE", "--kafka.sasl.password", wrong)
            self.assertEqual(refused.returncode, 2)
            self.assertIn("TALLY_KAFKA_SASL_PASSWORD", refused.stderr)
            self.assertNotIn(wrong, refused.stderr)


if __name__ == "__main__":
    unittest.main()
