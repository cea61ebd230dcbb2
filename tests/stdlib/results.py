"""What the recorded runs found: one small file for each version of CPython, in results/.

    {"python": "3.14.10", "date": "2026-12-01", "modules": {"test_queue": {…}}}

A module that the version does not have is null. A module's counts have the names of Report's
fields. A count of 0 and an empty list are left out; "known", "differing" and "unstable" are lists
of test ids, without the leading "test.".
scripts/conformance.py writes docs/conformance.md from these files.
"""

import datetime
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .differences import Report

FOLDER = Path(__file__).resolve().parent / "results"


def counts_of(report: "Report") -> dict[str, Any]:
    """Return what is kept of a report."""
    counts: dict[str, Any] = {
        "tests": report.tests,
        "passed": report.passed,
        "skipped": report.skipped,
        "failing": report.failing,
        "known": [one.test.removeprefix("test.") for one, _ in report.known],
        "differing": [one.test.removeprefix("test.") for one in report.differing],
        "unstable": [one.test.removeprefix("test.") for one in report.unstable],
    }
    kept = {name: value for name, value in counts.items() if value or name == "tests"}
    return {**kept, "seconds": round(report.seconds)}


def record(release: str, module: str, report: "Report | None") -> None:
    """Put a report in the place of what was recorded of its module, None if there is no such one.

    What another release of the same version ("3.14.9") said is dropped.
    """
    path = FOLDER / f"{'.'.join(release.split('.')[:2])}.json"
    data = json.loads(path.read_text()) if path.exists() else {}
    modules = data["modules"] if data.get("python") == release else {}
    modules[module] = None if report is None else counts_of(report)
    lines = [f"  {json.dumps(name)}: {json.dumps(modules[name])}" for name in sorted(modules)]
    head = {"python": release, "date": datetime.date.today().isoformat()}
    text = json.dumps(head).removesuffix("}") + ', "modules": {\n' + ",\n".join(lines) + "\n}}\n"
    FOLDER.mkdir(exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(text)
    part.replace(path)


def recorded() -> dict[str, dict[str, Any]]:
    """Return "3.14" -> what its file says, the oldest version first."""
    paths = sorted(FOLDER.glob("*.json"), key=lambda path: [int(n) for n in path.stem.split(".")])
    return {path.stem: json.loads(path.read_text()) for path in paths}
