"""Put the features of a serialized tf.Example in a fixed order.

The features are a protocol buffer map, which has no order: the encoder writes them as they lie in a
hash table, another way in each record and each process. Sorted by name, equal rows are equal bytes.

An Example is one field (Features), which holds a field for each entry of the map: tag, length, and
in it the key (tag, length, name) and the value. See https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

# Field 1, of type LEN: Example.features, Features.feature, and the key of an entry.
_FIELD = 0x0A


def with_sorted_features(example: bytes) -> bytes:
    """Return a serialized tf.Example with its features sorted by name.

    Raises:
      ValueError: these bytes are no tf.Example as the encoder writes it.
    """
    if not example:
        return example  # Of a row without any value.
    length, start = _field(example, 0)
    if start + length != len(example):
        raise ValueError("more than one field in a tf.Example")
    entries = []
    place = start
    while place < len(example):
        length, inner = _field(example, place)
        name_length, name = _field(example, inner)
        end = inner + length
        entries.append((example[name : name + name_length], example[place:end]))
        place = end
    # Names are unique, so that no entry is compared.
    entries.sort()
    return example[:start] + b"".join([entry for _, entry in entries])


def _field(data: bytes, place: int) -> tuple[int, int]:
    """Return the length of the field that begins at a place, and where its content begins."""
    if data[place] != _FIELD:
        raise ValueError(f"byte {data[place]:#x} at {place} of a tf.Example, not {_FIELD:#x}")
    length = data[place + 1]
    place += 2
    if length < 0x80:
        return length, place
    length &= 0x7F
    shift = 7
    while True:
        byte = data[place]
        place += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return length, place
        shift += 7
