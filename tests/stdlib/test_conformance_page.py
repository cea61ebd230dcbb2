"""docs/conformance.md says what the recorded runs found, and they found what known.py lists."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from .known import Known, known_of
from .modules import SECONDS
from .results import recorded

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "conformance.py"
RUNS = recorded()
MODULES = [
    pytest.param(version, module, counts, id=f"{version}-{module}")
    for version, run in RUNS.items()
    for module, counts in run["modules"].items()
    if counts is not None
]


def the_script() -> Any:
    spec = importlib.util.spec_from_file_location("conformance", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_says_what_was_recorded():
    script = the_script()
    same = script.PAGE.read_text(encoding="utf-8") == script.page()
    assert same, "docs/conformance.md is out of date: run python scripts/conformance.py"


def test_every_recorded_module_is_one_of_the_list():
    for run in RUNS.values():
        assert set(run["modules"]) <= set(SECONDS)


@pytest.mark.parametrize("version, module, counts", MODULES)
def test_a_recorded_run_found_nothing_but_what_is_known(version, module, counts):
    entries = known_of(module, version)
    assert "differing" not in counts
    for test in counts.get("known", []):
        assert any(entry.matches(test) for entry in entries), f"known.py does not list {test}"
    for entry in entries:
        assert entry.flaky or found(entry, counts), (
            f"known.py lists {entry.test}: it did not differ"
        )


@pytest.mark.parametrize("version, module, counts", MODULES)
def test_every_test_of_a_recorded_run_is_counted_once(version, module, counts):
    lists = [counts.get(name, []) for name in ("known", "differing", "unstable")]
    numbers = [counts.get(name, 0) for name in ("passed", "skipped", "failing")]
    assert counts["tests"] == sum(numbers) + sum(map(len, lists))


def found(entry: Known, counts: dict[str, Any]) -> bool:
    return any(map(entry.matches, counts.get("known", [])))
