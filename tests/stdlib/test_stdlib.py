"""CPython's own tests, patched: what passes unpatched passes, but for the list in known.py.

GREENROOM_STDLIB says which modules: quick (the default on a compiled build), all, none, or names
with commas between them.
"""

import importlib.util
import os
import sys

import pytest

from greenroom.core import native

from .compare import Interpreter, compare
from .modules import QUICK, SECONDS

WANTED = os.environ.get("GREENROOM_STDLIB") or ("quick" if native.compiled() else "none")
MODULES = {"quick": QUICK, "all": list(SECONDS), "none": []}.get(WANTED, WANTED.split(","))


@pytest.mark.parametrize("module", MODULES)
def test_what_passes_unpatched_passes_patched(module):
    if importlib.util.find_spec("test.test_queue") is None:
        word = pytest.fail if os.environ.get("GREENROOM_REQUIRE_SERVICES") == "1" else pytest.skip
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        word(
            f"{sys.executable} has no test package: install CPython's own tests (Debian: "
            f"libpython{version}-testsuite; an interpreter built from source has them)"
        )
    interpreter = Interpreter()
    if module not in interpreter.has([module]):
        pytest.skip(f"CPython {sys.version.split()[0]} comes without test.{module}")
    report = compare(interpreter, module)
    print(report.line())
    for difference in report.unstable:
        print(f"not when run alone: {difference}")
    assert report.good, f"{report.line()}\n{report.text()}"
