"""A listener whose timeout changes: accept parks in every mode.

A child, for it might block: then it does not end, and the test fails when its time is over.
"""

import pytest
from patch.children import output_of

CODE = """
import sys
import greenroom
from greenroom.green import socket

with socket.create_server(("127.0.0.1", 0)) as listener:
    for timeout in eval(sys.argv[1]):
        listener.settimeout(timeout)
        if timeout == 0:
            continue
        accepting = greenroom.spawn(listener.accept)
        greenroom.sleep(0)
        with socket.create_connection(listener.getsockname()):
            accepting.result(30)[0].close()
        print(timeout)
"""


@pytest.mark.parametrize(
    "timeouts",
    [
        [None],
        [None, 5, 5],
        [5, 7],
        [None, None],
        [5, None],
        [None, 5, None],
        [None, 0, None],
    ],
)
def test_accept_parks_after_each_change_of_the_timeout(timeouts):
    lines = output_of(CODE, timeouts)
    assert lines == [str(timeout) for timeout in timeouts if timeout != 0]
