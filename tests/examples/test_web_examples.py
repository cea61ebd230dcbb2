"""The web examples, as programs, with real clients: curl, the websockets library, a browser.

curl and chromium are the machine's (Debian's packages of these names). Without them the tests are
skipped; with GREENROOM_REQUIRE_SERVICES=1 they fail.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest
from patch.children import EXAMPLES, child_environment


def need(program):
    """Return the path of a program, or skip the test."""
    found = shutil.which(program)
    if found is None:
        reason = f"{program} is not installed (apt-get install {program})"
        if os.environ.get("GREENROOM_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@contextlib.contextmanager
def running(name, *args):
    """Start an example; the URL it prints."""
    command = [sys.executable, EXAMPLES / name, *map(str, args), "0"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    alarm = threading.Timer(120, process.kill)
    alarm.start()
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on http://"), line + process.stderr.read()
        yield line.split()[-1]
    finally:
        process.terminate()
        _, errors = process.communicate()
        alarm.cancel()
    assert "Traceback" not in errors, errors


def curl(*args):
    """What curl says: the status, and the body as bytes."""
    command = [need("curl"), "-sS", "--max-time", "30", "-w", "\n%{http_code}", *map(str, args)]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition(b"\n")
    return int(status), body


def test_websocket_echo_with_the_websockets_library():
    client = pytest.importorskip("websockets.sync.client")
    with running("websocket_echo/server.py") as url:
        address = url.replace("http", "ws") + "echo"
        with client.connect(address, subprotocols=["echo"]) as ws:
            assert ws.subprotocol == "echo"
            assert ws.protocol.extensions, "permessage-deflate"
            for message in ("grüße", "x" * 500_000, b"\x00\xff", "", b"y" * 1000):
                ws.send(message)
                assert ws.recv(30) == message
            ws.send(["in ", "three ", "fragments"])
            assert ws.recv(30) == "in three fragments"
            assert ws.ping().wait(30)
        assert ws.protocol.close_code == 1000
        with pytest.raises(Exception, match="403"):
            client.connect(address, origin="http://evil.example")


@contextlib.contextmanager
def page(folder):
    """A page in a browser: call(method, **params), of the DevTools protocol, returns its result.

    --dump-dom would be shorter: it waits for what is loaded, but for no WebSocket.
    """
    client = pytest.importorskip("websockets.sync.client")
    command = [need("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
    command += ["--no-first-run", "--disable-background-networking", "--disable-component-update"]
    command += ["--disable-sync", f"--user-data-dir={folder}", "--remote-debugging-port=0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        rest = threading.Thread(target=process.stderr.read)
        try:
            said = ""
            while "DevTools listening on" not in said:
                said = process.stderr.readline()
                assert said, "the browser has ended"
            rest.start()
            with client.connect(said.split()[-1], max_size=None) as ws:
                session = {}

                def call(method, **params):
                    ws.send(json.dumps({"id": 1, "method": method, "params": params, **session}))
                    while (answer := json.loads(ws.recv(60))).get("id") != 1:
                        pass  # an event
                    return answer["result"]

                target = call("Target.createTarget", url="about:blank")["targetId"]
                found = call("Target.attachToTarget", targetId=target, flatten=True)
                session["sessionId"] = found["sessionId"]
                yield call
        finally:
            process.terminate()
            if rest.is_alive():
                rest.join()


CLOSED = """
new Promise((done) => {
  const look = () => {
    const state = document.getElementById("state");
    if (state && state.textContent.startsWith("closed")) done(document.body.outerHTML);
    else setTimeout(look, 10);
  };
  look();
})
"""


def test_websocket_echo_in_a_browser(tmp_path):
    with running("websocket_echo/server.py") as url, page(tmp_path) as call:
        call("Page.navigate", url=f"{url}#once")
        done = call("Runtime.evaluate", expression=CLOSED, awaitPromise=True, returnByValue=True)
    dom = done["result"]["value"]
    assert '<p id="state">closed: 1000 seen</p>' in dom
    for line in ("text: Grüße aus dem Browser", "binary: 1 2 3", "text: 100000 characters"):
        assert f"<li>{line}</li>" in dom


def test_static_files_with_curl(tmp_path):
    data = bytes(range(256)) * 4096
    (tmp_path / "blob.bin").write_bytes(data)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "größe & co.txt").write_text("ok")
    (tmp_path / "sub" / "secret").symlink_to("/etc/passwd")
    with running("static_files.py", tmp_path) as url:
        file = f"{url}blob.bin"
        assert curl(file) == (200, data)
        assert curl("-r", "0-99", file) == (206, data[:100])
        assert curl("-r", "1000000-", file) == (206, data[1_000_000:])
        assert curl("-r", "-5", file) == (206, data[-5:])
        assert curl("-r", "9999999-", file)[0] == 416
        status, head = curl("-I", file)
        assert status == 200
        assert b"Content-Length: 1048576" in head
        etag = next(line for line in head.decode().splitlines() if line.startswith("ETag: "))
        etag = etag.removeprefix("ETag: ").strip()
        assert curl("-H", f"If-None-Match: {etag}", file) == (304, b"")
        assert curl("-r", "0-9", "-H", f"If-Range: {etag}", file)[0] == 206
        assert curl("-r", "0-9", "-H", 'If-Range: "old"', file)[0] == 200
        partial = tmp_path.parent / "partial"
        partial.write_bytes(data[:5000])
        assert curl("-C", "-", "-o", partial, file)[0] == 206  # goes on where it broke off
        assert partial.read_bytes() == data
        assert curl(f"{url}sub")[0] == 301
        status, page = curl("-L", f"{url}sub")
        assert status == 200
        assert '<a href="gr%C3%B6%C3%9Fe%20%26%20co.txt">größe &amp; co.txt</a>' in page.decode()
        assert curl(f"{url}sub/gr%C3%B6%C3%9Fe%20%26%20co.txt") == (200, b"ok")
        assert curl("--path-as-is", f"{url}../../etc/passwd")[0] == 404
        assert curl(f"{url}sub/secret")[0] == 404
        assert curl(f"{url}nothing")[0] == 404
        assert curl("-d", "x", file)[0] == 405


def test_json_api_with_curl():
    with running("json_api.py") as url:

        def call(method, path, fields=None):
            more = [] if fields is None else ["-d", json.dumps(fields)]
            status, body = curl("-X", method, *more, f"{url}{path}")
            return status, json.loads(body) if body else None

        milk = {"number": 1, "done": False, "title": "milk"}
        assert call("GET", "items") == (200, [])
        assert call("POST", "items", {"title": "milk"}) == (201, milk)
        assert call("GET", "items/1") == (200, milk)
        assert call("PATCH", "items/1", {"done": True}) == (200, {**milk, "done": True})
        waiting = []
        waiter = threading.Thread(target=lambda: waiting.append(call("GET", "wait?after=1")))
        waiter.start()
        assert call("POST", "items", {"title": "bread"})[0] == 201
        waiter.join(30)
        assert [item["title"] for item in waiting[0][1]] == ["bread"]
        assert call("DELETE", "items/1") == (204, None)
        assert [item["number"] for item in call("GET", "items")[1]] == [2]
        assert call("GET", "items/1")[0] == 404
        assert call("PUT", "items")[0] == 405
        assert call("POST", "items", ["x"])[0] == 400
        assert call("POST", "items", {"title": 5})[0] == 400
        assert call("POST", "items", {})[0] == 400
        assert curl("-d", "{", f"{url}items")[0] == 400
        assert curl("-d", "x" * 70_000, f"{url}items")[0] == 413
        assert call("GET", "wait?after=x")[0] == 400
        assert call("GET", "elsewhere")[0] == 404
