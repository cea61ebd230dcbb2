"""paramiko, whose every connection has a thread of its own, against an SSH server."""

from .conftest import need

CONNECT = """
import sys, threading
import paramiko
def connect(password="secret"):
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(
        "127.0.0.1", int(sys.argv[1]), "somebody", password, look_for_keys=False, allow_agent=False
    )
    return client
def run(client, command, timeout=30):
    _, stdout, _ = client.exec_command(command, timeout=timeout)
    return stdout.read().decode(), stdout.channel.recv_exit_status()
"""


def test_ten_at_once(ssh, program):
    need("paramiko")
    code = """
from at_once import at_once
clients = [connect() for number in range(10)]
found = at_once(lambda number: run(clients[number], "sleep 0.5"), 0.5)
assert found == [("sleep 0.5", 0)] * 10
# Ten channels of one connection.
found = at_once(lambda number: run(clients[0], "sleep 0.5"), 0.5)
assert found == [("sleep 0.5", 0)] * 10
for client in clients:
    client.close()
"""
    program(CONNECT + code, ssh)


def test_timeouts_errors_and_a_kill(ssh, script):
    need("paramiko")
    code = """
client = connect()
print(run(client, "false")[1])
try:
    run(client, "sleep 30", timeout=0.2)
except TimeoutError:
    print("timeout")
try:
    connect("wrong")
except paramiko.AuthenticationException:
    print("wrong password")
try:
    with greenroom.timeout(0.2):
        run(client, "sleep 30")
except TimeoutError as error:
    print(type(error).__name__)
task = greenroom.spawn(run, client, "sleep 30")
greenroom.sleep(0.1)
task.kill()
assert task.join(10)
print(type(task.exception).__name__, run(client, "usable"))
client.close()
"""
    assert script("import greenroom; greenroom.patch_all()\n" + CONNECT + code, ssh) == [
        "1",
        "timeout",
        "wrong password",
        "Timeout",
        "TaskKilled ('usable', 0)",
    ]
