"""Uncompiled twin of arena.pyx: the arena allocator can be set from C only.     layer: core"""


def install() -> bool:
    """Do nothing. Returns False: not installed."""
    return False


def statistics() -> dict[str, int]:
    """Return {}: there is no slab."""
    return {}
