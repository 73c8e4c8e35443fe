"""What is compared. Each stream of events has a file in which byte N is what the sender was told about event N
(tests/support/recorder/README.md); the log says how many copies of it there are, Postgres what was counted."""

from collections import Counter

# What the sender was told -> its class.
CLASSES = {0: None, ord("k"): "kept", ord("d"): "refused", ord("c"): "refused", ord("n"): "refused",
           ord("l"): "unknown", ord("a"): "cut"}


class Book:
    """One stream: what was told, and the copies in the log, by the event's number."""

    def __init__(self, name, prefix, path, capacity):
        self.name, self.prefix, self.path = name, prefix, path
        self.copies = bytearray(capacity)
        self.records = 0  # in the log
        self.strangers = 0  # records whose id was never given
        self.told = b""
        self.summed_up = (None, -1, None)  # told, records, their table

    def read(self):
        with open(self.path, "rb") as file:
            self.told = file.read().rstrip(b"\0")
        return self.told

    def saw(self, number):
        self.records += 1
        if number >= len(self.copies):
            self.strangers += 1
        elif self.copies[number] < 255:
            self.copies[number] += 1

    def table(self):
        """(class, whether it is in the log) -> events."""
        if self.summed_up[0] is self.told and self.summed_up[1] == self.records:
            return self.summed_up[2]
        found = Counter()
        for (told, copies), count in Counter(zip(self.told, self.copies)).items():
            found[CLASSES[told], copies > 0] += count
        self.summed_up = (self.told, self.records, found)
        return found

    def beyond(self):
        """Events in the log that were never sent."""
        beyond = len(self.copies) - self.copies[len(self.told):].count(0) - len(self.told)
        return self.strangers + max(beyond, 0) + self.table()[None, True]

    def unique(self):
        return len(self.copies) - self.copies.count(0)

    def numbers(self):
        """Of the events in the log."""
        return (number for number, copies in enumerate(self.copies.rstrip(b"\0")) if copies)

    def kept_is_there(self):
        return self.table()["kept", False] == 0

    def first(self, told, there):
        """Some events of that kind, to look for in the logs."""
        found = (number for number, (said, copies) in enumerate(zip(self.told, self.copies))
                 if CLASSES[said] == told and (copies > 0) == there)
        return ", ".join(f"{self.prefix}-{number}" for number, _ in zip(found, range(5)))


def figures_of(book):
    table = book.table()
    classes = {name: table[name, True] + table[name, False] for name in ("kept", "refused", "unknown", "cut")}
    return {"offered": sum(classes.values()), **classes,
            "unknown_in_log": table["unknown", True], "cut_in_log": table["cut", True],
            "in_log": book.unique(), "copies": book.records - book.strangers - book.unique()}


def of_the_log(book):
    """What was told holds in the log: kept is there, refused is not."""
    table = book.table()
    for told, there, words in (("kept", False, "kept, and not in the log"),
                               ("refused", True, "refused for certain, and in the log")):
        if table[told, there]:
            yield f"{book.name}: {table[told, there]} {words}: {book.first(told, there)}"
    if book.beyond():
        yield f"{book.name}: {book.beyond()} in the log that were never sent"


def after_the_retry(book):
    """All that was ever offered is kept."""
    table = book.table()
    for told in ("refused", "unknown", "cut"):
        left = table[told, True] + table[told, False]
        if left:
            yield f"{book.name}: {left} still {told} after the retry: {book.first(told, True) or book.first(told, False)}"


def expected_totals(books, tenants):
    """tenant -> (events, the sum of their numbers), each event of the log once."""
    totals = {f"tenant_{tenant}": [0, 0] for tenant in range(tenants)}
    for book in books:
        for number in book.numbers():
            row = totals[f"tenant_{number % tenants}"]
            row[0] += 1
            row[1] += number
    return {tenant: tuple(row) for tenant, row in totals.items() if row[0]}


def of_postgres(books, tenants, totals, ledger):
    """Each event of the log counts once: totals by tenant, and the classes of all records."""
    expected = expected_totals(books, tenants)
    for tenant in sorted(expected.keys() | totals.keys()):
        if expected.get(tenant) != totals.get(tenant):
            yield f"totals of {tenant}: the log says {expected.get(tenant)}, Postgres {totals.get(tenant)}"
    unique = sum(book.unique() for book in books)
    records = sum(book.records for book in books)
    classes = {name: count for name, count in ledger.items() if count}
    wanted = {name: count for name, count in
              (("counted", unique), ("duplicate", records - unique), ("consumed", records)) if count}
    if classes != wanted:
        yield f"classes: the log says {wanted}, the ledger {classes}"


def balance_of(books, counted):
    """0: what was offered is what is counted, was refused, or is unknown or cut and not in the log."""
    left = -counted
    for book in books:
        figures = figures_of(book)
        left += figures["offered"] - figures["refused"]
        left -= figures["unknown"] - figures["unknown_in_log"] + figures["cut"] - figures["cut_in_log"]
    return left


def of_the_load(senders, killed):
    """The storm was one: (book, events that it must have offered, and kept) of each sender, and the daemons' lives that
    were killed: what their clients say of each."""
    senders = list(senders)
    for book, *least in senders:
        for what, events, floor in zip(("offered", "kept"), (len(book.told), book.told.count(b"k")), least):
            if events < floor:
                yield f"{book.name}: {events} events were {what}, fewer than {floor}: too few to try anything"
    refused = sum(figures_of(book)["refused"] for book, *_ in senders)
    if not refused:
        yield "nothing was refused: the bounds were not tried"
    for name, lives in killed.items():
        if not sum(told["cut"] for told in lives):
            yield f"{name}: no request was cut by its kills"


def sums_of(books_of_all):
    """One line for the verdict; what the storm did not bring about is said so."""
    sums = Counter()
    for book in books_of_all:
        sums.update(figures_of(book))
    said = ", ".join(f"{sums[name]:,} {name}" for name in ("offered", "kept", "refused", "unknown", "cut"))
    return said + ("" if sums["unknown"] else " (unknown: not exercised)")


def of_the_library(book, account):
    """The client's own counters are what its callbacks told."""
    told = Counter(chr(byte) for byte in book.told if byte)
    lost = told["l"] + told["n"]
    pairs = (("kept", told["k"], account["delivered"] + account["spooled"]), ("lost", lost, account["failed"]),
             ("dropped", told["d"], account["dropped"]), ("closed", told["c"], account["closed"]),
             ("without an end", told["a"], 0), ("outstanding", 0, account["left"]),
             ("accepted", told["k"] + lost, account["accepted"]))
    if spool := account["spool"]:
        pairs += (("kept in the spool", told["k"], spool["found"] + spool["kept"]),
                  *((f"{end} by the spool", 0, spool[end]) for end in ("refused", "lost", "torn")))
    for name, said, counted in pairs:
        if said != counted:
            yield f"{book.name}: told {name} {said}, the client's counter says {counted}"


# Said before a body is read: its events were never seen, so only the answer is counted.
AT_THE_DOOR = ("overloaded", "stopping")


def of_a_life(name, told, metrics, killed):
    """The daemon's counters since its start against what its clients were told. Of a killed one the last look is known:
    it had counted no more than was answered or cut."""
    if metrics["stray_ends"]:
        yield f"{name}: {metrics['stray_ends']} ends of events came twice or too late"
    refused = sum(count for code, count in told["refused"].items() if code not in AT_THE_DOOR)
    pairs = [("kept", told["kept"], metrics["kept"]), ("unknown", told["unknown"], metrics["unknown"]),
             ("refused", refused, metrics["not_kept"] + metrics["full"])]
    if killed:
        seen = sum(count for _, _, count in pairs)
        most = told["kept"] + told["unknown"] + refused + told["cut"]
        if seen > most:
            yield f"{name}: {seen} events had ended, its clients know of {most}"
        for what, answered, counted in pairs:
            if counted > answered + told["cut"]:
                yield f"{name}: {what} {counted}, its clients were told {answered} and {told['cut']} were cut"
        return
    # A request whose every event found the queue full is answered as one of which nothing was taken, and counted by event.
    not_kept = told["refused"].get("not_all_kept", 0)
    if metrics["not_kept"] < not_kept:
        yield f"{name}: its clients were told that {not_kept} are not kept, it counted {metrics['not_kept']}"
    pairs += [(f"answers {status}", told["answers"].get(status, 0), metrics["answers"].get(status, 0))
              for status in sorted((told["answers"].keys() | metrics["answers"].keys()) - {"200"})]
    pairs.append(("cut requests", told["cut_requests"], 0))
    for what, said, counted in pairs:
        if said != counted:
            yield f"{name}: {what}: its clients say {said}, its counters {counted}"


def of_what_was_tried(name, lives, last):
    """The disk fills up in the last life, whose refusals are all compared with what it counted."""
    refused = sum(count for code, count in lives.get(last, {"refused": {}})["refused"].items() if code not in AT_THE_DOOR)
    if not refused:
        yield f"{name}: its last life refused nothing, though the disk was full: its counters were not tried"


def of_the_spool(name, spool, told, records):
    """Nothing waits, nothing was lost, and the account of the records balances, with itself and with others: what the
    clients of this life were told, and the records of the stream in the log."""
    if not told["kept"] <= spool["kept"] <= told["kept"] + told["unknown"]:
        yield f"{name}: the spool kept {spool['kept']}, its clients were told {told['kept']}, and {told['unknown']} unknown"
    if spool["delivered"] > records:
        yield f"{name}: the spool delivered {spool['delivered']}, the log has {records} records of the stream"
    ended = sum(spool[end] for end in ("delivered", "refused", "lost", "torn", "waiting"))
    if spool["found"] + spool["kept"] != ended:
        yield f"{name}: the spool's account does not balance: {spool}"
    for end in ("waiting", "lost", "refused", "torn"):
        if spool[end]:
            yield f"{name}: {spool[end]} records {end}"
