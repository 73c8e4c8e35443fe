"""The disk of the spools, which fills up once: a small one of its own where this process may mount one, else the
spools' own bound, which is reached while the broker is away."""

import os
import subprocess
import threading

DISK_MB = 768  # more than an outage puts there


def unmount(path, *options):
    if os.path.ismount(path):
        subprocess.run(["umount", *options, path], check=True)


def mounted(path):
    """Whether a small disk could be mounted there."""
    os.makedirs(path, exist_ok=True)
    return os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", path], check=False, capture_output=True).returncode == 0


class SmallDisk:
    """Somebody else's file takes all room, and whatever a spool gives back."""

    spool_mb = 4096

    def __init__(self, path):
        self.path, self.kind = path, f"a disk of {DISK_MB} MB"
        self.freed = threading.Event()
        self.writer = None

    def fill(self):
        self.freed.clear()
        self.writer = threading.Thread(target=self.write, daemon=True)
        self.writer.start()

    def write(self):
        block = bytes(1 << 16)
        with open(f"{self.path}/ballast", "wb", buffering=0) as ballast:
            while not self.freed.is_set():
                try:
                    ballast.write(block)
                except OSError:
                    self.freed.wait(0.01)

    def free(self):
        self.freed.set()
        self.writer.join()
        os.remove(f"{self.path}/ballast")

    def remove(self):
        unmount(self.path)


class BoundedSpools:
    """Without a disk of their own the spools fill up to their bound, since nobody takes from them."""

    spool_mb = 128

    def __init__(self, path, stack, broker_lock):
        self.path, self.kind = path, "the spools' own bound: no disk could be mounted"
        self.stack, self.broker_lock = stack, broker_lock

    def fill(self):
        self.broker_lock.acquire()
        try:
            self.stack.kill_kafka()
        except BaseException:  # nobody frees what did not fill up
            self.broker_lock.release()
            raise

    def free(self):
        try:
            self.stack.start_kafka()
        finally:
            self.broker_lock.release()

    def remove(self):
        """It is a folder among others."""
