"""docs/cancellation.md: its examples run, and its table names what exists."""

import re
from pathlib import Path

import pytest

import greenroom

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cancellation.md"
TEXT = PAGE.read_text(encoding="utf-8")
QUEUE = ("get", "put", "join")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_runs(clock, number):
    exec(compile(BLOCKS[number], f"{PAGE.name}, example {number + 1}", "exec"), {})


def test_the_page_has_its_examples():
    assert len(BLOCKS) == 5


def test_methods_that_the_page_names_exist():
    for owner, method in re.findall(r"`([A-Z]\w+)\.(\w+)", TEXT):
        assert hasattr(getattr(greenroom, owner), method), f"{owner}.{method}"


def may_switch():
    """The public calls whose docstrings say that they may let others run."""
    for name in greenroom.__all__:
        thing = getattr(greenroom, name)
        calls = [(name, thing)]
        if isinstance(thing, type):
            calls += [(f"{name}.{of}", getattr(thing, of)) for of in vars(thing) if of[0] != "_"]
        for spelling, call in calls:
            said = re.search(r"^ *Switches +(\w+)", call.__doc__ or "", re.M)
            if said and said[1] != "never":
                yield spelling


def test_the_table_says_of_every_call_that_may_wait_what_it_has_done():
    """It said nothing of channels, select, pools, supervisors, to_process, await_ and servers."""
    table = TEXT[TEXT.index("| call | when it raises") :]
    first = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    told = {name for cell in first for name in re.findall(r"`([\w.]+)`", cell)}
    for cell in first:  # `A`, `B`: `x`, `y`
        owners, colon, methods = cell.partition(": ")
        if colon:
            told |= {
                f"{owner}.{method}"
                for owner in re.findall(r"`(\w+)`", owners)
                for method in re.findall(r"`(\w+)`", methods)
            }
    told |= {f"{kind}Queue.{how}" for kind in ("Simple", "Lifo", "Priority") for how in QUEUE}
    calls = set(may_switch())
    assert {"select", "Channel.send", "Pool.apply", "TaskGroup", "to_process"} <= calls
    assert calls - told == set()


def test_every_public_name_of_cancelling_is_on_the_page():
    for name in ("CancelScope", "move_on_after", "fail_after", "timeout", "TaskGroup"):
        assert f"`{name}(" in TEXT
    for name in ("shield", "deadline", "cancelled_caught", "current_time", "bytes_sent"):
        assert name in TEXT
