"""The plain twin of masking.pyx: XOR of two long integers.                      layer: servers

For 64 bytes 0.6 us, where a loop over the bytes takes 4; masking.pyx 0.06.
"""


def unmask(data: bytes, start: int, size: int) -> bytes:
    """Return data[start + 4 : start + 4 + size] XOR the four bytes of mask at start, repeated."""
    if start < 0 or size < 0 or start + 4 + size > len(data):
        raise ValueError(f"cannot unmask {size} bytes at {start}: there are {len(data)} in all")
    mask = data[start : start + 4] * (size // 4 + 1)
    number = int.from_bytes(data[start + 4 : start + 4 + size], "little")
    number ^= int.from_bytes(mask[:size], "little")
    return number.to_bytes(size, "little")
