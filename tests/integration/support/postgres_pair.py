"""A primary and its streaming standby, and the failover from one to the other."""

import os
import tempfile

from support.gate import Gate, setting
from support.private_stack import run_script
from support.scene import psql, wait_until

PLAIN = "user=tally sslmode=disable gssencmode=disable"


class Valve(Gate):
    """Between a standby and its primary. shut("wal"): the standby learns nothing more. shut("acks"):
    it does, but the primary never hears of it. What is shut stays so: a failover follows."""

    def __init__(self, host, port):
        super().__init__(host, port)
        self.closed_ways = set()

    def shut(self, way):
        self.closed_ways.add(way)

    def _pass(self, data, target, from_client):
        if ("acks" if from_client else "wal") not in self.closed_ways:
            target.sendall(data)
        return True


class PostgresPair:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="tally-pair-")
        os.chmod(self.dir, 0o755)  # Postgres may run as another user
        self.names = ["a", "b"]  # the primary, the standby
        self.valve = None

    def call(self, script, *arguments):
        return run_script(script, self.dir, *arguments)

    def start(self):
        port = self.call('start_postgres "$dir/a" && cat "$dir/a/postgres.port"')
        other = self._follow("b", port)
        self.servers = {name: f"host=127.0.0.1 port={at} dbname=tally {PLAIN}"
                        for name, at in (("a", port), ("b", other))}
        self._await_replication("async")
        return self

    @property
    def conninfo(self):
        """Leads to whichever takes writes. The primary comes first: where a new database is not
        there yet, libpq looks no further."""
        ports = ",".join(setting(self.servers[name], "port") for name in self.names)
        return f"host=127.0.0.1,127.0.0.1 port={ports} dbname=tally {PLAIN} target_session_attrs=read-write"

    @property
    def primary(self):
        return self.servers[self.names[0]]

    @property
    def standby(self):
        return self.servers[self.names[1]]

    def _follow(self, name, port):
        """Copies the server on `port` and streams from it, through a valve; returns its own port."""
        if self.valve:
            self.valve.close()
        self.valve = Valve("127.0.0.1", int(port))
        self.call('home=$(postgres_home "$dir/$2") && rm -rf "$home/data" && '
                  'as_postgres "$(postgres_bin)/pg_basebackup" -d "$3" -D "$home/data" '
                  '--write-recovery-conf --checkpoint=fast --no-sync',
                  name, f"host=127.0.0.1 port={self.valve.port} {PLAIN}")
        return self.call('start_postgres "$dir/$2" && cat "$dir/$2/postgres.port"', name)

    def synchronous(self):
        """From now on what is committed is on both."""
        psql(self.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        psql(self.primary, "SELECT pg_reload_conf()")
        self._await_replication("sync")

    def _await_replication(self, state):
        wait_until(lambda: psql(self.primary, "SELECT sync_state FROM pg_stat_replication "
                                              "WHERE state = 'streaming'") == [[state]],
                   f"a {state} standby streams")

    def kill_primary(self):
        """Immediate: nothing more is written or sent."""
        self._kill(self.names[0])

    def _kill(self, name):
        # The server may wait a minute for a child that does not follow; then neither is asked.
        self.call('dir=$dir/$2; signal_process "$dir" postgres QUIT; await_exit "$dir" postgres 2 && exit 0; '
                  'pid=$(pid_of "$dir" postgres) || exit 0; mapfile -t children < <(pgrep -P "$pid"); '
                  'kill -KILL "$pid" "${children[@]}"; await_exit "$dir" postgres 20', name)

    def promote(self):
        psql(self.standby, "SELECT pg_promote(true, 30)")
        wait_until(lambda: psql(self.standby, "SELECT pg_is_in_recovery()") == [["f"]],
                   "the standby takes writes")

    def rejoin(self):
        """After a failover: the old primary, made anew, is the new one's asynchronous standby."""
        self.names.reverse()
        self._follow(self.names[1], setting(self.primary, "port"))
        self._await_replication("async")

    def stop(self):
        if self.valve:
            self.valve.close()
        for name in "ba":
            self._kill(name)
            self.call('wipe "$dir/$2"', name)
        os.rmdir(self.dir)
