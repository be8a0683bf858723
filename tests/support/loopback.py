"""Servers on this machine that stand in for those that a test cannot reach."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve in a thread and yield the address, without a slash at its end."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Quiet(BaseHTTPRequestHandler):
    """Answers without a line per request on stderr."""

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
    """Hands out the files of a folder.

    Attributes:
        folder: Where they are.
        cut: Names of which only half comes.
        status: What every request is answered with; 200 for a file.
        requests: The names asked for.
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
    """What `kaggle` 2.2 asks of Kaggle to download one file of a competition.

    Attributes:
        token: The only access token that is active.
        refusal: The status and the message of the answer to the request for the file; or none.
        archive: The file.
        etag: Of the file.
        stops: After how many bytes each answer with the file breaks off; then none does.
        seen: Method, path, `Authorization` and `Range` of every request.
    """

    token: str
    refusal: tuple[int, str] | None
    archive: bytes
    etag: str
    stops: list[int]
    seen: list[tuple[str, str, str, str]]

    def note(self) -> None:
        authorization, wanted = (self.headers.get(name, "") for name in ("Authorization", "Range"))
        self.seen.append((self.command, self.path.partition("?")[0], authorization, wanted))

    def do_POST(self) -> None:
        self.note()
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        if self.path == "/v1/security.OAuthService/IntrospectToken":
            active = asked["token"] == self.token
            self.tell(200, {"active": active, "username": "someone" if active else ""})
        elif self.path != "/v1/competitions.CompetitionApiService/DownloadDataFile":
            self.tell(404, {"code": 404, "message": "Not found"})
        elif self.refusal:
            status, message = self.refusal
            self.tell(status, {"code": status, "message": message})
        else:
            assert asked == {"competitionName": "dogs-vs-cats", "fileName": "train.zip"}, asked
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
        # The client does not read the answer to its first request if it goes on from a part.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body[: self.stops.pop(0)] if self.stops else body)

    def tell(self, status: int, answer: dict[str, object]) -> None:
        self.answer(status, json.dumps(answer).encode(), Content_Type="application/json")
