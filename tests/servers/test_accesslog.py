"""The access log's lines, and what becomes of it when it cannot be written."""

import errno
import json
import os
import re
from pathlib import Path

import pytest
from rawhttp import GET, LAST, ask, serving

from greenroom.servers.accesslog import AccessLog

REQUEST = (
    b'GET /a"b?c=\\d HTTP/1.1\r\nHost: h\r\nReferer: http://r/\r\nUser-Agent: agent\t\xe9 "x"\r\n'
    b"Connection: close\r\n\r\n"
)


def line_of(path: Path, format: str, request: bytes = REQUEST) -> str:
    with serving(access_log=AccessLog(path, format)) as server:
        ask(server, request)
    text = path.read_text("ascii")
    assert text.count("\n") == 1 and text.endswith("\n")
    return text[:-1]


def test_common_and_combined_are_as_ever(tmp_path: Path) -> None:
    when = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    common = rf'127\.0\.0\.1 - - {when} "GET /a\\x22b\?c=\\x5Cd HTTP/1\.1" 200 14'
    assert re.fullmatch(common, line_of(tmp_path / "common", "common"))
    combined = common + r' "http://r/" "agent\\x09\\xE9 \\x22x\\x22"'
    assert re.fullmatch(combined, line_of(tmp_path / "combined", "combined"))
    assert line_of(tmp_path / "bare", "combined", LAST).endswith('200 10 "-" "-"')


def test_json_is_one_object_a_line(tmp_path: Path) -> None:
    found = json.loads(line_of(tmp_path / "json", "json"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert 0 <= found.pop("seconds") < 60
    assert found == {
        "client": "127.0.0.1",
        "method": "GET",
        "target": '/a"b?c=\\d',
        "version": "1.1",
        "status": 200,
        "bytes": 14,
        "host": "h",
        "referrer": "http://r/",
        "user_agent": 'agent\t\xe9 "x"',
    }


def test_a_moved_file_is_left_by_reopen(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = AccessLog(path, "common")
    with serving(access_log=log) as server:
        ask(server, LAST)
        path.rename(tmp_path / "old")
        ask(server, LAST)
        log.reopen()
        ask(server, LAST)
    log.close()
    assert (tmp_path / "old").read_text().count("\n") == 2
    assert path.read_text().count("\n") == 1


def test_a_full_disk_is_told_once_and_hurts_no_request(caplog: pytest.LogCaptureFixture) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    log = AccessLog("/dev/full", "common")
    with serving(access_log=log) as server:
        for _ in range(3):
            assert ask(server, GET + LAST).count(b"200 OK") == 2
    told = [record for record in caplog.records if "access log" in record.getMessage()]
    assert len(told) == 1
    assert os.strerror(errno.ENOSPC) in told[0].getMessage()
    assert log.lost == 6


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="common, combined, json"):
        AccessLog("-", "pretty")
