"""docs/patching.md shows the table as it is."""

import importlib.util
from typing import Any

from greenroom.patch.table import PARTS, TABLE

from .children import ROOT


def the_script() -> Any:
    spec = importlib.util.spec_from_file_location(
        "patching_table", ROOT / "scripts" / "patching_table.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_the_table_as_it_is():
    script = the_script()
    same = script.PAGE.read_text(encoding="utf-8") == script.page()
    assert same, "docs/patching.md is out of date: run python scripts/patching_table.py"


def test_every_name_and_part_is_on_the_page():
    script = the_script()
    text = script.PAGE.read_text(encoding="utf-8")
    for part in PARTS:
        assert f"\n### {part}\n" in text
    targets = {row.target for row in TABLE}
    for row in TABLE:
        if script.twin_of(row) not in targets - {row.target}:
            assert f"`{script.name_of(row)}`" in text, row.target
