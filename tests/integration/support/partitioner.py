"""Where a producer puts a key: Kafka's murmur2 over any number of partitions, for producers that
know an old topology."""


def murmur2(key):
    mask, mix = 0xFFFFFFFF, 0x5BD1E995
    hash_, at = (0x9747B28C ^ len(key)) & mask, 0
    while len(key) - at >= 4:
        word = int.from_bytes(key[at:at + 4], "little") * mix & mask
        word = (word ^ word >> 24) * mix & mask
        hash_ = hash_ * mix & mask ^ word
        at += 4
    if at < len(key):
        hash_ = (hash_ ^ int.from_bytes(key[at:], "little")) * mix & mask
    hash_ = (hash_ ^ hash_ >> 13) * mix & mask
    return hash_ ^ hash_ >> 15


def home(key, partitions):
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions
