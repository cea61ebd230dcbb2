"""What loads before patching must import neither ssl nor socket nor threading."""

import pytest

from .children import output_of

CODE = """
    import sys
    import {module}
    print(sorted({{"ssl", "socket", "threading", "queue", "selectors"}} & set(sys.modules)))
"""

# selectors is the plain poller's, which wants it in its unpatched form.
ALLOWED = {"selectors"}


@pytest.mark.parametrize(
    "module", ["greenroom", "greenroom.cli.main", "greenroom.cli.run", "greenroom.patch.apply"]
)
def test_importing_loads_no_module_that_is_to_be_patched(module):
    (line,) = output_of(CODE.format(module=module))
    assert set(eval(line)) <= ALLOWED


def test_using_tasks_loads_none_either():
    code = """
        import sys, greenroom
        task = greenroom.spawn(greenroom.sleep, 0.001)
        queue = greenroom.Queue(1)
        queue.put(1)
        task.result()
        print(sorted({"ssl", "socket", "threading"} & set(sys.modules)))
    """
    assert output_of(code) == ["[]"]


def test_a_module_imported_again_or_reloaded_is_green_too():
    code = """
        import importlib, sys
        import greenroom
        greenroom.patch_all()
        import queue, socket
        green, recv = queue.SimpleQueue, socket.socket.recv
        del sys.modules["queue"], sys.modules["_queue"]
        import queue
        print(queue.SimpleQueue is green, queue.Empty is sys.modules["_queue"].Empty)
        old = socket.socket
        importlib.reload(socket)
        print(socket.socket is not old, socket.socket.recv is recv)
        greenroom.unpatch_all()
        print(old.recv is not recv, socket.socket.recv is not recv, queue.SimpleQueue is not green)
    """
    assert output_of(code) == ["True True", "True True", "True True True"]


def test_coroutines_that_import_a_module_together_all_find_it_whole(tmp_path):
    (tmp_path / "slow_module.py").write_text("import time\ntime.sleep(0.01)\nvalue = 1\n")
    code = """
        import sys, greenroom
        greenroom.patch_all()
        import asyncio
        sys.path.insert(0, sys.argv[1])
        async def value():
            import slow_module
            return slow_module.value
        async def main():
            print(await asyncio.gather(value(), value(), value()))
        asyncio.run(main())
    """
    assert output_of(code, tmp_path) == ["[1, 1, 1]"]
