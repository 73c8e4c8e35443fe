"""The operation log: what the producer knows. One line each:

  R n               numbers below n may have been sent (flushed before the first of them is)
  A n partition offset   number n was acked by the broker, outside an aborted transaction
  X b               every record of block b was sent in a transaction that was aborted

Lines of acks may be lost with a killed producer: those numbers are sent once more, as any client would."""

import os


class OpLog:
    def __init__(self, path):
        self.file = open(path, "ab", buffering=1 << 16)

    def reserve(self, number):
        self.file.write(b"R %d\n" % number)
        self.flush()

    def acked(self, number, partition, offset):
        self.file.write(b"A %d %d %d\n" % (number, partition, offset))

    def aborted(self, block):
        self.file.write(b"X %d\n" % block)

    def flush(self):
        self.file.flush()

    def close(self):
        self.file.close()


class OpLogReader:
    """Whole lines only: a killed producer may have left half a one (mended by mend())."""

    def __init__(self, path):
        self.path = path
        self.place = 0

    def lines(self):
        if not os.path.exists(self.path):
            return
        with open(self.path, "rb") as file:
            file.seek(self.place)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.place += len(line)
                kind, *numbers = line.split()
                yield kind, [int(number) for number in numbers]


def mend(path):
    """Cuts half a line off the end, so that the next writer begins a new one."""
    if not os.path.exists(path):
        return
    with open(path, "r+b") as file:
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)
