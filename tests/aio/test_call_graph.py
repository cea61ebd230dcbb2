"""asyncio's own tools see the tasks of our loops: `asyncio ps` and `pstree`, and the call graph."""

import asyncio
import re
import sys

import pytest
from loops import run
from observed import end, program, tool, until_asleep

import greenroom

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="these tools are new in CPython 3.14"
)

_FAMILY = """
    import asyncio, os, greenroom

    async def waits(event):
        await event.wait()

    async def child(event):
        await waits(event)

    def blocks():
        greenroom.Event().wait()

    async def blocked():
        blocks()

    async def parent():
        loop = asyncio.get_running_loop()
        event = asyncio.Event()
        loop.add_reader(0, event.set)
        stuck = asyncio.create_task(blocked(), name="blocked")
        async with asyncio.TaskGroup() as group:
            for number in (1, 2):
                group.create_task(child(event), name=f"child-{number}")
            print("ready")
        stuck.cancel()
"""
_STARTS = {
    "patched": """
    greenroom.patch_all()
    asyncio.run(parent())
    """,
    "with our loop": """
    from greenroom.aio.loop import new_event_loop
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(parent())
    """,
    "from plain code": """
    greenroom.await_(parent())
    """,
    "as a task": """
    greenroom.spawn(parent()).join()
    """,
}


@pytest.mark.parametrize("start", _STARTS)
def test_asyncio_ps_and_pstree_list_the_tasks_of_a_program_that_waits(start):
    with program(_FAMILY + _STARTS[start]) as running:
        until_asleep(running.pid)
        table = tool("asyncio", "ps", running.pid)
        tree = tool("asyncio", "pstree", running.pid)
        end(running)
    for number in (1, 2):
        line = next(line for line in table.splitlines() if f"child-{number}" in line)
        assert re.search(r"Event.wait -> waits -> child .* -> parent", line)
    assert re.search(r"\bblocked +blocked\b", table)
    assert re.search(r"\(T\) child-1\n.*  child .*\n.*  waits .*\n.*  Event.wait ", tree)
    assert re.search(r"\(T\) blocked\n.*  blocked ", tree)


def test_asyncio_ps_lists_the_tasks_while_one_of_them_runs():
    code = """
        import asyncio, select, greenroom
        greenroom.patch_all()
        select = greenroom.original("select.select")

        async def computes():
            await asyncio.sleep(0)  # lets the other one begin
            await asyncio.sleep(0)
            print("ready")
            while not select([0], [], [], 0)[0]:
                pass

        async def awaits(task):
            await task

        async def main():
            task = asyncio.create_task(computes(), name="computer")
            await asyncio.create_task(awaits(task), name="waiter")

        asyncio.run(main())
    """
    with program(code) as running:
        table = tool("asyncio", "ps", running.pid)
        end(running)
    line = next(line for line in table.splitlines() if "computer" in line)
    assert re.search(r"computer +computes +awaits +waiter", line)


def test_the_call_graph_of_a_coroutine_has_plain_code_and_who_awaits_it():
    async def main():
        return await asyncio.create_task(calls(), name="caller")

    async def calls():
        return plain()

    def plain():
        greenroom.sleep(0)  # it has waited in the middle
        return asyncio.capture_call_graph()

    graph = run(main())
    names = [entry.frame.f_code.co_name for entry in graph.call_stack]
    assert names[-2:] == ["plain", "calls"]
    assert graph.future.get_name() == "caller"
    (above,) = graph.awaited_by
    assert [entry.frame.f_code.co_name for entry in above.call_stack] == ["main"]


def test_the_call_graph_of_a_coroutine_that_waits_in_plain_code_ends_in_it():
    event = greenroom.Event()

    async def blocked():
        event.wait()

    async def main():
        task = asyncio.create_task(blocked())
        await asyncio.sleep(0)
        graph = asyncio.capture_call_graph(task)
        event.set()
        await task
        return graph

    names = [entry.frame.f_code.co_name for entry in run(main()).call_stack]
    assert names == ["blocked"]
