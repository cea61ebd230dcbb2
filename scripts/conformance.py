"""Write docs/conformance.md: each table between its two markers, the rest as it stands there.

    python scripts/conformance.py

The table of CPython's own tests comes from tests/stdlib/results/, which
`python -m tests.stdlib --record` fills, and from tests/stdlib/known.py; that of the peers from
scripts/peers.json, which `scripts/peers.py --record` fills. A part of PARTS is a pair
of markers and the function that returns what is between them; one that has no data yet returns
None, and the page keeps what it has. tests/stdlib/test_conformance_page.py fails when the page says
something else than the data.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "conformance.md"
PEERS = ROOT / "scripts" / "peers.json"

sys.path.insert(0, str(ROOT))

from tests.stdlib.known import GROUPS, Known  # noqa: E402
from tests.stdlib.modules import SECONDS  # noqa: E402
from tests.stdlib.results import recorded  # noqa: E402

# What a cell says beside the number of tests that passed.
ALSO = {
    "skipped": "skipped",
    "failing": "fail unpatched too",
    "known": "known",
    "differing": "**differ**",
    "unstable": "unstable",
}


def number(count: Any) -> int:
    """A count, or how long a list of tests is."""
    return count if isinstance(count, int) else len(count)


def cell(modules: dict[str, Any], module: str) -> str:
    """What one module did on one version."""
    if module not in modules:
        return "not run"
    return "–" if modules[module] is None else words(modules[module])


def words(counts: dict[str, Any]) -> str:
    """The counts of a module, or of all."""
    if not counts["tests"]:
        return "skipped"
    also = [f"{number(counts[key])} {word}" for key, word in ALSO.items() if counts.get(key)]
    return ", ".join([str(counts.get("passed", 0)), *also])


def sums(modules: dict[str, Any]) -> dict[str, Any]:
    """The counts of all modules of a version together."""
    keys = ("tests", "passed", *ALSO)
    there = [counts for counts in modules.values() if counts is not None]
    return {key: sum(number(counts.get(key, 0)) for counts in there) for key in keys}


def known_tests(run: dict[str, Any]) -> list[str]:
    """The tests that differed as known.py says, of a version's run."""
    there = [counts for counts in run["modules"].values() if counts is not None]
    return [test for counts in there for test in counts.get("known", [])]


def known_lines(data: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The known differences that were seen, group by group; those of one reason share a line."""
    for title, entries in GROUPS.items():
        lines: dict[tuple[str, str], list[str]] = {}
        for entry in entries:
            if versions := seen_on(entry, data):
                where = "" if versions == list(data) else f" ({', '.join(versions)})"
                lines.setdefault((where, entry.reason), []).append(f"`{entry.test}`")
        if lines:
            yield from ("", f"{title}:", "")
        for (where, reason), tests in lines.items():
            yield f"- {', '.join(tests)}{where}: {reason}."


def seen_on(entry: Known, data: dict[str, dict[str, Any]]) -> list[str]:
    """The versions whose recorded run met a known difference."""
    return [
        version
        for version, run in data.items()
        if entry.holds_on(version) and any(map(entry.matches, known_tests(run)))
    ]


def stdlib() -> str | None:
    """CPython's own tests: a row a module, a column a version; then the known differences."""
    data = recorded()
    if not data:
        return None
    heads = [f"{run['python']}<br>{run['date']}" for run in data.values()]
    lines = [f"| module | {' | '.join(heads)} |", "|---|" + "---|" * len(data)]
    for module in sorted(SECONDS):
        found = [cell(run["modules"], module) for run in data.values()]
        if any(one not in ("–", "not run") for one in found):
            lines.append(f"| `{module}` | {' | '.join(found)} |")
    totals = [f"**{words(sums(run['modules'])).replace('**', '')}**" for run in data.values()]
    lines += [f"| **all** | {' | '.join(totals)} |", "", "### Known differences"]
    return "\n".join([*lines, *known_lines(data)])


def peers() -> str | None:
    """The suites of peers: a row a package and version of Python; then the known differences."""
    if not PEERS.exists():
        return None
    rows = json.loads(PEERS.read_text(encoding="utf-8"))
    lines = ["| package | CPython | tests | pass on asyncio | pass patched | known to differ |"]
    lines.append("|---|---|---|---|---|---|")
    for row in rows:
        cells = [f"{row['package']} {row['version']}", row["python"]]
        cells += [
            f"{row[key]:,}" for key in ("tests", "passed_on_asyncio", "passed_patched", "differ")
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "### Their known differences", ""]
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for known in row["known"]:
            tests = reasons.setdefault((row["package"], known["reason"]), [])
            if known["test"] not in tests:
                tests.append(known["test"])
    for (package, reason), tests in reasons.items():
        lines.append(f"- {package}, {', '.join(f'`{test}`' for test in tests)}: {reason}.")
    return "\n".join(lines)


# A part's name, as its markers have it -> what the page says there.
PARTS: dict[str, Callable[[], str | None]] = {
    "CPython's tests": stdlib,
    "suites of peers": peers,
}


def markers(part: str) -> tuple[str, str]:
    """The lines around a part."""
    return (
        f"<!-- begin of {part}: python scripts/conformance.py writes it -->",
        f"<!-- end of {part} -->",
    )


def page() -> str:
    """The page as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    for part, write in PARTS.items():
        begin, end = markers(part)
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise SystemExit(f"{PAGE} has no lines {begin!r} and {end!r}: put them back")
        new = write()
        if new is not None:
            text = f"{before}{begin}\n\n{new}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
