"""Local servers that replace remote ones in tests."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve in a thread and yield the address, without a trailing slash."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Quiet(BaseHTTPRequestHandler):
    """Handles requests without logging them to stderr."""

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class FileServer(Quiet):
    """Serves the files of a folder.

    Attributes:
        folder: The folder.
        cut: Names of files that are sent by half.
        status: Status of every response; 200 sends a file.
        requests: The requested names.
    """

    folder: Path
    cut: set[str]
    status: int
    requests: list[str]

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.requests.append(name)
        if self.status != 200:
            self.answer(self.status)
            return
        content = (self.folder / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content[: len(content) // 2] if name in self.cut else content)


class KaggleService(Quiet):
    """Implements the requests of `kaggle` 2.2 for one file of a competition.

    Attributes:
        token: The only active access token.
        refusal: Status and message that refuse the request for the file; None to accept it.
        archive: Content of the file.
        etag: ETag of the file.
        stops: Number of bytes after which each of the first responses with the file ends.
        seen: Method, path, `Authorization` and `Range` of every request.
    """

    token: str
    refusal: tuple[int, str] | None
    archive: bytes
    etag: str
    stops: list[int]
    seen: list[tuple[str, str, str, str]]

    def note(self) -> None:
        authorization, byte_range = (
            self.headers.get(name, "") for name in ("Authorization", "Range")
        )
        self.seen.append((self.command, self.path.partition("?")[0], authorization, byte_range))

    def do_POST(self) -> None:
        self.note()
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        if self.path == "/v1/security.OAuthService/IntrospectToken":
            active = request["token"] == self.token
            self.respond_json(200, {"active": active, "username": "someone" if active else ""})
        elif self.path != "/v1/competitions.CompetitionApiService/DownloadDataFile":
            self.respond_json(404, {"code": 404, "message": "Not found"})
        elif self.refusal:
            status, message = self.refusal
            self.respond_json(status, {"code": status, "message": message})
        else:
            assert request == {"competitionName": "dogs-vs-cats", "fileName": "train.zip"}, request
            self.answer(302, Location="/storage/bundle/train.zip?signature=sesame")

    def do_GET(self) -> None:
        self.note()
        assert self.path == "/storage/bundle/train.zip?signature=sesame"
        first = 0
        if self.headers.get("If-Range") == self.etag:
            first = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        body = self.archive[first:]
        self.send_response(206 if first else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", self.etag)
        self.send_header("Last-Modified", "Thu, 19 Dec 2013 10:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        # A client that resumes a download does not read the response to its first request.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body[: self.stops.pop(0)] if self.stops else body)

    def respond_json(self, status: int, content: dict[str, object]) -> None:
        self.answer(status, json.dumps(content).encode(), Content_Type="application/json")
