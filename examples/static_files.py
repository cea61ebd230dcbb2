"""Serves a folder: files by sendfile(2), ranges, dates, and lists of folders.

    python examples/static_files.py FOLDER 8000       then curl -r 0-99 http://127.0.0.1:8000/FILE

It is a WSGI application: wsgi.file_wrapper is what makes the server send the file in the kernel,
and answer `Range`. It prints where it listens (port 0 lets the system choose) and serves until
Ctrl-C. It needs greenroom[http].
"""

import html
import mimetypes
import os
import sys
from collections.abc import Callable, Iterable
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote

from greenroom.servers.http import HTTPServer
from greenroom.servers.wsgi import WSGIApplication

Environ = dict[str, Any]
Start = Callable[..., Any]


class Files:
    """The WSGI application."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return self.say(start_response, "405 Method Not Allowed", [("Allow", "GET, HEAD")])
        try:
            name = environ["PATH_INFO"].encode("latin-1").decode()
            path = (self.folder / name.lstrip("/")).resolve()
        except (UnicodeDecodeError, ValueError):  # no UTF-8, or a NUL
            return self.say(start_response, "400 Bad Request")
        if not path.is_relative_to(self.folder):
            return self.say(start_response, "404 Not Found")
        try:
            if path.is_dir():
                return self.list(path, name, start_response)
            return self.send(path, environ, start_response)
        except (FileNotFoundError, NotADirectoryError):
            return self.say(start_response, "404 Not Found")
        except PermissionError:
            return self.say(start_response, "403 Forbidden")

    def send(self, path: Path, environ: Environ, start_response: Start) -> Iterable[bytes]:
        """Answer with a file, or say that the client's copy is good."""
        file = path.open("rb")
        info = os.fstat(file.fileno())
        etag = f'"{info.st_mtime_ns:x}-{info.st_size:x}"'
        headers = [("ETag", etag), ("Last-Modified", formatdate(info.st_mtime, usegmt=True))]
        if environ.get("HTTP_IF_NONE_MATCH") in (etag, "*"):
            file.close()
            start_response("304 Not Modified", headers)
            return []
        kind, encoding = mimetypes.guess_type(path.name)
        headers.append(("Content-Type", kind or "application/octet-stream"))
        if encoding is not None:
            headers.append(("Content-Encoding", encoding))
        start_response("200 OK", headers)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped

    def list(self, path: Path, name: str, start_response: Start) -> Iterable[bytes]:
        """Answer with what is in a folder; without the slash at the end links would go wrong."""
        if not name.endswith("/"):
            return self.say(
                start_response, "301 Moved Permanently", [("Location", quote(name) + "/")]
            )
        entries = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in os.scandir(path))
        links = [f'<li><a href="{quote(entry)}">{html.escape(entry)}</a>' for entry in entries]
        title = html.escape(name)
        page = (
            f"<!doctype html><meta charset=utf-8><title>{title}</title><ul>{''.join(links)}</ul>\n"
        )
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [page.encode()]

    def say(
        self, start_response: Start, status: str, headers: Iterable[tuple[str, str]] = ()
    ) -> Iterable[bytes]:
        """Answer with no more than a status."""
        start_response(status, [("Content-Type", "text/plain"), *headers])
        return [f"{status}\n".encode()]


def main(folder: str, port: int) -> None:
    with HTTPServer(("127.0.0.1", port), WSGIApplication(Files(Path(folder)))) as server:
        print(f"listening on http://127.0.0.1:{server.address[1]}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    try:
        main(
            sys.argv[1] if len(sys.argv) > 1 else ".",
            int(sys.argv[2]) if len(sys.argv) > 2 else 8000,
        )
    except KeyboardInterrupt:
        pass
