"""Write the table of what patching replaces into docs/patching.md, between its two markers.

    python scripts/patching_table.py

tests/patch/test_patching_page.py fails when the page says something else than the table.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "patching.md"
BEGIN = "<!-- begin of the table: python scripts/patching_table.py writes it -->"
END = "<!-- end of the table -->"

sys.path.insert(0, str(ROOT / "src"))

from greenroom.patch.table import PARTS, TABLE, Row  # noqa: E402

# What a reader sees once, though it is there twice: C's module, and the one that copies from it.
TWINS = {"posix": "os", "_thread": "threading", "_queue": "queue", "_socket": "socket"}


def name_of(row: Row) -> str:
    """The name as a program writes it."""
    return row.target.replace(":", ".").rstrip(".").removeprefix("builtins.")


def versions_of(row: Row) -> str:
    """In which versions of Python the name is, "" if in all."""
    since, until = (".".join(map(str, version)) for version in (row.since, row.until))
    if row.until < (99, 0):
        return f"before {until}"
    return f"from {since} on" if row.since > (3, 11) else ""


def twin_of(row: Row) -> str:
    """The target under the other module's name."""
    return f"{TWINS.get(row.module, row.module)}:{'.'.join(row.path)}"


def lines_of(rows: list[Row]) -> Iterator[str]:
    """A part's lines: rows of one kind that differ in their names alone share one."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        source = row.source if row.how == "hook" else row.source.partition(":")[0]
        groups.setdefault((row.how, row.why, source, versions_of(row)), []).append(row)
    targets = {row.target for row in rows}
    for (how, why, module, versions), group in groups.items():
        shown = [row for row in group if twin_of(row) not in targets - {row.target}]
        if shown:
            names = ", ".join(f"`{name_of(row)}`" for row in shown)
            about = f"{why} ({versions})" if versions else why
            yield f"| {names} | {how} | {sources_of(module, shown)} | {about} |"


def sources_of(module: str, rows: list[Row]) -> str:
    """The replacements; their module alone if they are called what they replace."""
    if all(row.path[-1:] == row.source.split(":")[1:] for row in rows):
        return f"`{module}`"
    return ", ".join(dict.fromkeys(f"`{row.source.replace(':', '.')}`" for row in rows))


def table() -> str:
    """What stands between the markers."""
    lines: list[str] = []
    for part in PARTS:
        rows = [row for row in TABLE if row.part == part]
        lines += ["", f"### {part}", "", "| name | how | replaced by | why |", "|---|---|---|---|"]
        lines += lines_of(rows)
    return "\n".join([*lines, "", ""])


def page() -> str:
    """The page as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
