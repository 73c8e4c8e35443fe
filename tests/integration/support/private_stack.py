"""A Kafka and a Postgres of a test's own, for what the shared ones must not suffer."""

import os
import shutil
import struct
import subprocess
import tempfile
from datetime import timedelta

SCRIPTS = os.path.join(os.environ["TALLY_TEST_ROOT"], "tests", "support", "stack", "stack.sh")


def run_script(script, directory, *arguments, seconds=120, **environment):
    """Runs shell functions of tests/support/stack; $dir is the directory, $2 the first argument."""
    done = subprocess.run(["bash", "-c", f'set -uo pipefail; source "{SCRIPTS}"; dir=$1; {script}', "stack",
                           directory, *arguments], capture_output=True, text=True, timeout=seconds,
                          env=dict(os.environ, **environment), check=False)
    if done.returncode != 0:
        raise AssertionError(f"{script}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


class PrivateStack:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="tally-stack-")
        os.chmod(self.dir, 0o755)  # Postgres may run as another user
        self.mounted = False

    def call(self, script, seconds=120):
        return run_script(script, self.dir, seconds=seconds)

    def start(self, postgres_megabytes=None):
        """With `postgres_megabytes` root gives Postgres a disk of that size, for fill_disk()."""
        if postgres_megabytes and os.geteuid() == 0:
            home = f"{self.dir}/postgres"
            os.mkdir(home)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={postgres_megabytes}m", "tmpfs", home], check=True)
            self.mounted = True
            shutil.chown(home, self.call("postgres_user"))
        self.call('start_kafka "$dir" & kafka=$!; start_postgres "$dir" && wait "$kafka"', 300)
        self.brokers = self.call('kafka_bootstrap "$dir"')
        self.conninfo = self.call('postgres_conninfo "$dir"')
        return self

    def start_broker(self):
        """A broker alone."""
        self.call('start_kafka "$dir"', 180)
        self.brokers = self.call('kafka_bootstrap "$dir"')
        self.conninfo = ""
        return self

    def start_with_movable_clock(self):
        """The shared Postgres, and a broker whose clock move_clock() moves."""
        self.move_clock(timedelta())
        library = os.path.join(os.environ["TALLY_TEST_BIN"], "libmoved_clock.so")
        run_script('start_kafka "$dir"', self.dir, TALLY_BROKER_CLOCK=f"{library} {self.dir}/clock")
        self.brokers = self.call('kafka_bootstrap "$dir"')
        self.conninfo = os.environ["TALLY_TEST_PG"]
        return self

    def start_with_listeners(self, protocols, properties):
        """The shared Postgres, and a broker that also listens at listeners[NAME] by protocols[NAME]: SASL_SSL, …; what
        that needs more stands in `properties`."""
        ports = []
        while len(ports) < len(protocols):
            ports = list(dict.fromkeys([*ports, self.call("free_port")]))
        more = f"{self.dir}/more.properties"
        with open(more, "w", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in properties.items())
        run_script('start_kafka "$dir"', self.dir, TALLY_BROKER_PROPERTIES=more, TALLY_BROKER_LISTENERS=" ".join(
            f"{name}:{port}:{protocol}" for (name, protocol), port in zip(protocols.items(), ports)))
        self.brokers = self.call('kafka_bootstrap "$dir"')
        self.conninfo = os.environ["TALLY_TEST_PG"]
        self.listeners = {name: f"127.0.0.1:{port}" for name, port in zip(protocols, ports)}
        return self

    def move_clock(self, offset):
        """The broker's clock is off by this timedelta from now on."""
        file = os.open(f"{self.dir}/clock", os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.write(file, struct.pack("=q", int(offset.total_seconds())))
        finally:
            os.close(file)

    def stop(self):
        self.call('stop_all "$dir"')
        if self.mounted:
            subprocess.run(["umount", f"{self.dir}/postgres"], check=True)
        self.call('wipe "$dir"')

    def fill_disk(self):
        """No room for Postgres: on its own disk, else for files of more than 17 MB."""
        if not self.mounted:
            self.call('as_postgres prlimit --pid "$(pid_of "$dir" postgres)" --fsize=17000000:')
            return
        with open(f"{self.dir}/postgres/ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(1 << 20))
            except OSError:
                ballast.truncate(max(0, ballast.tell() - (2 << 20)))

    def free_disk(self):
        """Room again. A server that gave up for want of it is started, as an operator would."""
        if self.mounted:
            os.remove(f"{self.dir}/postgres/ballast")
        else:
            self.call('as_postgres prlimit --pid "$(pid_of "$dir" postgres)" --fsize=unlimited:')
        if not self.postgres_runs():
            self.start_postgres()

    def kill_kafka(self):
        self.call('signal_process "$dir" kafka KILL; await_exit "$dir" kafka 20')

    def start_kafka(self):
        self.call('start_kafka "$dir"', 300)

    def stop_postgres(self):
        self.call('stop_process "$dir" postgres')

    def start_postgres(self):
        self.call('start_postgres "$dir"')

    def postgres_home(self):
        return self.call('postgres_home "$dir"')

    def postgres_said(self, *texts):
        with open(f"{self.dir}/log/postgres.log", encoding="utf-8", errors="replace") as file:
            log = file.read()
        return any(text in log for text in texts)

    def postgres_runs(self):
        return self.call('is_running "$dir" postgres && echo yes || echo no') == "yes"
