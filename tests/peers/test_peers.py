"""The comparison of peers' suites, on a suite made up here: it must be able to fail."""

import json
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from stdlib.differences import Known

from . import compare, suites
from .compare import examine, record, row_of
from .known import KNOWN

PEER = suites.Peer("made-up", "1.0", (), ("test_it.py",))

# Tests that know whether they are run patched, as those of a peer do not.
DIFFERS = """
    import time
    import pytest
    patched = time.sleep.__module__ != "time"

    def test_same():
        pass

    def test_fails_on_both():
        assert False

    @pytest.mark.parametrize("kind", ["a", "b"])
    def test_differs(kind):
        assert not patched or kind == "a"
"""


class MadeUp(compare.PeerSuite):
    """A suite in a folder, run on this interpreter."""

    def __init__(self, folder, code):
        (folder / "test_it.py").write_text(dedent(code))
        interpreter = compare.Interpreter(sys.executable, "3.14", "3.14.0", "", "")
        super().__init__(PEER, interpreter, folder)
        self.test_seconds = 20.0

    def command(self, order, inside):
        order["args"] = ["--rootdir=.", "-p", "no:cacheprovider", *self.peer.args]
        told = Path(inside).with_name("order")
        told.write_text(json.dumps(order))
        import greenroom

        path = str(Path(greenroom.__file__).parent.parent)
        return (
            [sys.executable, str(compare.CHILD), str(told)],
            str(self.folder),
            {"PYTHONPATH": path},
        )


def judged(folder, code, *known):
    return examine(MadeUp(folder, code), PEER, "3.14", lambda package, version: list(known))


def test_what_passes_on_asyncio_alone_is_reported(tmp_path):
    report = judged(tmp_path, DIFFERS)
    assert [one.test for one in report.differing] == ["test_it.py::test_differs[b]"]
    assert "assert" in report.differing[0].text
    assert (report.tests, report.plain, report.passed) == (4, 3, 2)
    assert not report.good


def test_a_known_difference_is_expected_and_recorded_with_its_reason(tmp_path):
    report = judged(tmp_path, DIFFERS, Known("test_it.py::test_differs[b]", "a reason"))
    assert report.good
    path = tmp_path / "rows.json"
    interpreter = compare.Interpreter(sys.executable, "3.14", "3.14.0", "", "")
    for _ in range(2):  # the second takes the place of the first
        record(row_of(PEER, interpreter, report), path)
    (row,) = json.loads(path.read_text())
    assert (row["passed_on_asyncio"], row["passed_patched"], row["differ"]) == (3, 2, 1)
    assert row["known"] == [
        {"test": "test_it.py::test_differs[b]", "reason": "a reason", "tests": 1}
    ]


@pytest.mark.parametrize(
    ("test", "sentence"),
    [
        ("test_it.py::test_same", "no longer differs"),
        ("test_it.py::test_fails_on_both", "no longer differs"),
        ("test_it.py::test_gone", "there is no such test"),
    ],
)
def test_an_entry_that_does_not_hold_is_an_error(tmp_path, test, sentence):
    all_known = Known("test_it.py::test_differs[*]", "a reason")
    report = judged(tmp_path, DIFFERS, all_known, Known(test, "a reason"))
    assert not report.differing
    assert len(report.stale) == 1
    assert sentence in report.stale[0]
    assert not report.good


def test_a_test_that_breaks_the_process_differs_and_the_others_are_run(tmp_path):
    code = DIFFERS.replace("assert not patched or kind", "patched and __import__('os')._exit(3)")
    report = judged(tmp_path, code + "\n    def test_after():\n        pass\n")
    outcomes = {one.test: one.outcome for one in report.differing}
    assert outcomes == {
        "test_it.py::test_differs[a]": "crash, status 3",
        "test_it.py::test_differs[b]": "crash, status 3",
    }
    assert report.passed == 2


def test_a_file_that_can_only_be_imported_unpatched_is_a_difference(tmp_path):
    report = judged(tmp_path, DIFFERS + "\n    assert not patched, 'no such queue'\n")
    assert len(report.differing) == 3
    assert "no such queue" in report.text()


def test_a_suite_of_which_nothing_runs_is_no_success(tmp_path):
    report = judged(tmp_path, "import there_is_no_such_module")
    assert not report.good
    assert "nothing is compared" in report.text()


def test_only_a_star_is_special_in_the_name_of_a_known_test():
    assert Known("t.py::f[a-?]", "").matches("t.py::f[a-?]")
    assert Known("t.py::f[*]", "").matches("t.py::f[a\n]")
    assert not Known("t.py::f[ab]", "").matches("t.py::fa")


def test_every_known_difference_is_of_a_peer_and_has_a_reason():
    assert set(KNOWN) <= {peer.package for peer in suites.PEERS}
    for entries in KNOWN.values():
        for entry in entries:
            assert entry.reason


def test_the_results_that_are_recorded_are_of_peers():
    rows = json.loads(compare.RECORD.read_text())
    assert {row["package"] for row in rows} <= {peer.package for peer in suites.PEERS}
