"""docs/coming-from.md: its examples run, and its table names what exists."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import greenroom
from greenroom.core import native

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coming-from.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_runs(clock, number):
    exec(compile(BLOCKS[number], f"{PAGE.name}, example {number + 1}", "exec"), {})


def test_the_page_has_its_examples():
    assert len(BLOCKS) == 4


def own_column():
    """The last cell of each line of the table of spellings."""
    table = TEXT[TEXT.index("| asyncio | trio | Go | greenroom |") : TEXT.index("## From asyncio")]
    return [line.split(" | ")[-1] for line in table.splitlines()[2:] if line.startswith("|")]


# Standard names, methods of what stands beside them, and variables.
OTHERS = {"print", "range", "requests", "socket", "ssl", "contextvars", "asyncio", "math", "time"}
OTHERS |= {"task", "scope", "group", "sender", "ch", "g", "b", "join", "result", "kill", "cancel"}
OTHERS |= {"clone", "close", "send", "f", "run", "main", "fn"}


def test_every_call_in_our_column_exists():
    cells = own_column()
    assert len(cells) > 30
    called = {
        name
        for cell in cells
        for code in re.findall(r"`([^`]+)`", cell)
        for name in re.findall(r"(?<![.\w])([A-Za-z_]\w*)\(", code)
    }
    assert {"select", "Channel", "TaskGroup", "to_thread"} <= called
    for name in called - OTHERS:
        assert hasattr(greenroom, name), name


def test_every_call_in_our_column_takes_the_arguments_shown():
    """map(fn, items) stood there, which needs a limit."""
    checked = set()
    for code in re.findall(r"`([^`]+)`", " ".join(own_column())):
        for call in re.findall(r"(?<![.\w])[A-Za-z_]\w*\([^()]*\)", code):
            parsed = ast.parse(call, mode="eval").body
            name = parsed.func.id
            called = None if name in OTHERS else getattr(greenroom, name)
            if called is None or (isinstance(called, type) and native.compiled()):
                continue  # a compiled class has no signature
            keywords = {keyword.arg: None for keyword in parsed.keywords}
            inspect.signature(called).bind(*parsed.args, **keywords)
            checked.add(name)
    assert {"map", "joinall", "select", "op"} <= checked
