"""Tests of CPython that pass unpatched and do not pass patched, each with its reason.

The list is strict: a test that no longer differs must be taken out, and a name that no test has is
an error.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Known:
    """One known difference.

    test     the test's id without the leading "test.", or a pattern with *: then at least one of
             the tests that it matches must differ
    reason   why it differs, and why that is left so
    pythons  the versions on which it differs, () for all
    hangs    it does not end: it is run alone, with a short time limit
    flaky    it does not always differ
    """

    test: str
    reason: str
    pythons: tuple[str, ...] = ()
    hangs: bool = False
    flaky: bool = False

    def matches(self, test: str) -> bool:
        """Tell whether a test's id is meant."""
        return fnmatchcase(test.removeprefix("test."), self.test)


_SPINS = (
    "a thread spins without ever waiting until another has done something: green threads take "
    "turns at waits, so the other never runs"
)

KNOWN: list[Known] = [
    Known("test_signal.StressTest.test_stress_modifying_handlers", _SPINS, hangs=True),
    Known(
        "test_multiprocessing_*.WithProcessesTestFinalize.test_thread_safety", _SPINS, hangs=True
    ),
    Known(
        "test_fork1.ForkTest.test_threaded_import_lock_fork",
        "the global import lock belongs to the OS thread, so a task of the same thread enters it "
        "while another holds it, and has it twice in the child",
    ),
]


def known_of(module: str, version: str) -> list[Known]:
    """Return what is known of a module ("test_queue") on a version ("3.11")."""
    return [
        known
        for known in KNOWN
        if known.test.startswith(module + ".") and (not known.pythons or version in known.pythons)
    ]
