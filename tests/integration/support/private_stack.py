"""A Kafka and a Postgres of a test's own, for what the shared ones must not suffer."""

import os
import shutil
import subprocess
import tempfile

SCRIPTS = os.path.join(os.environ["TALLY_TEST_ROOT"], "tests", "support", "stack", "stack.sh")


class PrivateStack:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="tally-stack-")
        os.chmod(self.dir, 0o755)  # Postgres may run as another user
        self.mounted = False

    def call(self, script, seconds=120):
        """Runs shell functions of tests/support/stack; $dir is the stack's directory."""
        done = subprocess.run(["bash", "-c", f'set -uo pipefail; source "{SCRIPTS}"; dir=$1; {script}', "stack",
                               self.dir], capture_output=True, text=True, timeout=seconds, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{script}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def start(self, postgres_megabytes=None):
        """With `postgres_megabytes` Postgres lies on a disk of that size (which takes root)."""
        if postgres_megabytes:
            home = f"{self.dir}/postgres"
            os.mkdir(home)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={postgres_megabytes}m", "tmpfs", home], check=True)
            self.mounted = True
            shutil.chown(home, self.call("postgres_user"))
        self.call('start_kafka "$dir" & kafka=$!; start_postgres "$dir" && wait "$kafka"', 180)
        self.brokers = self.call('kafka_bootstrap "$dir"')
        self.conninfo = self.call('postgres_conninfo "$dir"')
        return self

    def stop(self):
        self.call('stop_all "$dir"')
        if self.mounted:
            subprocess.run(["umount", f"{self.dir}/postgres"], check=True)
        self.call('wipe "$dir"')

    def kill_kafka(self):
        self.call('signal_process "$dir" kafka KILL; await_exit "$dir" kafka 20')

    def start_kafka(self):
        self.call('start_kafka "$dir"')

    def stop_postgres(self):
        self.call('stop_process "$dir" postgres')

    def start_postgres(self):
        self.call('start_postgres "$dir"')

    def postgres_home(self):
        return self.call('postgres_home "$dir"')

    def postgres_runs(self):
        return self.call('is_running "$dir" postgres && echo yes || echo no') == "yes"
