"""A Hub on this machine: the addresses that Hugging Face's own client asks for a model or a data set, served from
folders.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve(
    repos: dict[str, Path], gated: str = "", huge: str = "", kind: Literal["models", "datasets"] = "models"
) -> Iterator[tuple[str, list[str]]]:
    """URL of a Hub with these models or data sets, and the paths it was asked for so far.

    `gated`: one that nobody may read. `huge`: one whose files it says are of a terabyte each.
    """
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            asked.append(path)
            # /api/models/owner/name/what/… and /api/datasets/…; files are at /owner/name/resolve/… and /datasets/…
            parts = path.removeprefix("/api").removeprefix(f"/{kind}").strip("/").split("/")
            hub_id, what = "/".join(parts[:2]), parts[2] if len(parts) > 2 else "info"
            if hub_id == gated:
                return self.answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
            if hub_id not in repos:
                return self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            folder = repos[hub_id]
            if what == "resolve":
                file = folder.joinpath(*parts[4:])
                if not file.is_file():
                    return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
                data = file.read_bytes()
                return self.answer(200, data, {"ETag": f'"{sha1(data).hexdigest()}"', "X-Repo-Commit": SHA})
            sizes = {f.relative_to(folder).as_posix(): f.stat().st_size for f in folder.rglob("*") if f.is_file()}
            if what == "tree":
                files = [{"type": "file", "oid": SHA, "path": f, "size": size} for f, size in sizes.items()]
                return self.answer(200, json.dumps(files).encode(), {})
            siblings = [{"rfilename": f, "size": 10**12 if hub_id == huge else size} for f, size in sizes.items()]
            info = {"id": hub_id, "sha": SHA, "siblings": siblings, "tags": [], "private": False, "downloads": 0}
            return self.answer(200, json.dumps(info).encode(), {})

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
