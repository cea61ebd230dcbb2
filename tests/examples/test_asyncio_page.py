"""The programs in docs/asyncio.md print what the page says."""

import re

import pytest
from patch.children import ROOT, output_of

PAGE = (ROOT / "docs" / "asyncio.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```\n\nprints\n\n```\n(.*?)```", PAGE, re.DOTALL)


def test_there_are_three():
    assert len(PROGRAMS) == PAGE.count("```python") == 3


@pytest.mark.parametrize("number", range(3))
def test_a_program_prints_what_the_page_says(number):
    code, printed = PROGRAMS[number]
    assert output_of(code) == printed.splitlines()
