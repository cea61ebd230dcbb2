"""No call of the table stops the thread: other tasks go on while it waits, and ten wait at once.

Each row is a snippet in a module freeze_*.py, or said never to wait. Child processes run the
snippets (freeze_child.py), all at once; the tests here look at what came of it.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.patch.table import TABLE

from .children import ROOT, child_environment

MODULES = (
    "asyncio",
    "dns",
    "drivers",
    "files",
    "os",
    "process",
    "select",
    "socket",
    "ssl",
    "threads",
)
CHUNK = 12  # rows for one child, one after the other

SNIPPETS = {name: importlib.import_module(f".freeze_{name}", __package__) for name in MODULES}
MODULE_OF = {target: name for name in MODULES for target in SNIPPETS[name].FREEZE}
NEVER_WAIT = [target for name in MODULES for target in SNIPPETS[name].NEVER_WAIT]
ONCE = {target for name in MODULES for target in getattr(SNIPPETS[name], "ONCE", ())}
HERE = [row.target for row in TABLE if row.applies]
ROWS = [target for target in HERE if target in MODULE_OF]


def test_every_row_of_the_table_has_a_snippet_or_never_waits():
    assert set(HERE) - set(MODULE_OF) - set(NEVER_WAIT) == set()


def test_no_snippet_is_of_a_name_that_the_table_no_longer_has():
    assert {*MODULE_OF, *NEVER_WAIT, *ONCE} - {row.target for row in TABLE} == set()


def test_no_row_has_two_snippets_or_a_snippet_and_a_reason_to_have_none():
    found = [target for name in MODULES for target in SNIPPETS[name].FREEZE] + NEVER_WAIT
    assert len(found) == len(set(found))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate that it signs itself."""
    path = tmp_path_factory.mktemp("freeze") / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subprocess.run(
        [*command.split(), "-subj", "/CN=localhost", "-keyout", path, "-out", f"{path}.cert"],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + Path(f"{path}.cert").read_text())
    return path


def chunks() -> Iterator[tuple[str, list[str]]]:
    for name in MODULES:
        rows = [target for target in ROWS if MODULE_OF[target] == name]
        for first in range(0, len(rows), CHUNK):
            yield name, rows[first : first + CHUNK]


@pytest.fixture(scope="session")
def found(certificate: Path) -> dict[str, dict[str, Any]]:
    """What came of each row's snippet. One that a child did not come to has its last words."""
    tests = os.pathsep.join(filter(None, (str(ROOT / "tests"), os.environ.get("PYTHONPATH"))))
    environment = child_environment({"FREEZE_CERTIFICATE": str(certificate), "PYTHONPATH": tests})
    children = [
        (
            rows,
            subprocess.Popen(
                [sys.executable, "-m", "patch.freeze_child", f"freeze_{name}", *rows],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            ),
        )
        for name, rows in chunks()
    ]
    result: dict[str, dict[str, Any]] = {}
    for rows, child in children:
        output, errors = child.communicate(timeout=200)
        lines = [json.loads(line) for line in output.splitlines()]
        result.update({line["target"]: line for line in lines})
        for row in rows:
            result.setdefault(row, {"error": f"the child ended before this row\n{errors}"})
    return result


def look_at(found: dict[str, dict[str, Any]], target: str) -> dict[str, Any]:
    """Return what came of a row; skip what cannot be run here."""
    row = found[target]
    if "unavailable" in row and os.environ.get("GREENROOM_REQUIRE_SERVICES", "") not in ("", "0"):
        pytest.fail(f"{row['unavailable']} (GREENROOM_REQUIRE_SERVICES is set)", pytrace=False)
    if reason := row.get("skip") or row.get("unavailable"):
        pytest.skip(reason)
    if "error" in row:
        pytest.fail(row["error"], pytrace=False)
    return row


@pytest.mark.parametrize("target", ROWS)
def test_other_tasks_go_on_while_it_waits(found, target):
    assert look_at(found, target)["one"], "nobody went on, or the snippet did not wait at all"


@pytest.mark.parametrize("target", [target for target in ROWS if target not in ONCE])
def test_ten_wait_at_once_and_others_go_on(found, target):
    assert look_at(found, target)["ten"]
