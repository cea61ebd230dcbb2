"""Tests of peers that pass on asyncio and do not pass patched, each with its reason.

The list is strict, as stdlib/known.py is: a test that no longer differs must be taken out, and a
name that no test has is an error. A test's id is pytest's, below the peer's source.
"""

from stdlib.differences import Known

KNOWN: dict[str, list[Known]] = {}


def known_of(package: str, version: str) -> list[Known]:
    """Return what is known of a package on a version of Python ("3.14")."""
    return [
        known for known in KNOWN.get(package, []) if not known.pythons or version in known.pythons
    ]
