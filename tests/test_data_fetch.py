"""A download arrives whole and unchanged or not at all: against a real server that misbehaves in every way we know."""

import gzip
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from thirtytwo.data.fetch import Remote, fetch
from thirtytwo.errors import UserError

CONTENT = bytes(range(256)) * 4000  # 1 MB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT under every path; the path's first part says how."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.tag = '"1"'
        self.breaks = 0
        self.seen: list[tuple[str, str | None, int]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        manner = self.path.split("/")[1]
        wanted = self.headers.get("Range")
        if manner == "forbidden":
            self.answer(403, wanted, b"")
        elif manner == "elsewhere":
            self.answer(302, wanted, b"", Location=f"/plain/{self.path.split('/')[-1]}")
        elif manner == "plainhttp":
            self.answer(302, wanted, b"", Location="http://example.org/file")
        elif manner == "wrong":
            self.answer(200, wanted, CONTENT[::-1])
        else:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
            if not wanted or self.headers.get("If-Range") != self.server.tag:
                self.answer(200, wanted, self.server.content, ETag=self.server.tag)
            elif start >= len(self.server.content):
                self.answer(416, wanted, b"")
            else:
                whole = len(self.server.content)
                place = f"bytes {start}-{whole - 1}/{whole}"
                self.answer(206, wanted, self.server.content[start:], ETag=self.server.tag, **{"Content-Range": place})

    def answer(self, status: int, wanted: str | None, body: bytes, **headers: str) -> None:
        self.server.seen.append((self.path, wanted, status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks and len(body) > 300_000:
            self.server.breaks -= 1
            body = body[:300_000]
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing on stderr, where the tests look for what the downloader says."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THIRTYTWO_CACHE", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


def left_over(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and not path.name.endswith(".lock"))


def test_a_file_arrives_whole_and_is_not_fetched_twice(server: Server, cache: Path) -> None:
    remote = Remote("set/file", DIGEST, (server.url("plain/file"),))
    assert [path.read_bytes() for path in fetch("it", [remote])] == [CONTENT]
    fetch("it", [remote])
    assert len(server.seen) == 1 and left_over(cache) == ["file"]


def test_a_transfer_that_breaks_off_is_resumed(server: Server, cache: Path) -> None:
    server.breaks = 2
    (path,) = fetch("it", [Remote("file", DIGEST, (server.url("plain/file"),))])
    assert path.read_bytes() == CONTENT
    assert [(wanted, status) for _, wanted, status in server.seen] == [
        (None, 200), ("bytes=300000-", 206), ("bytes=600000-", 206),
    ]  # fmt: skip
    assert left_over(cache) == ["file"]


def test_a_half_file_is_never_taken_for_whole_and_is_resumed_later(server: Server, cache: Path) -> None:
    remote = Remote("file", DIGEST, (server.url("plain/file"),))
    server.breaks = 3
    with pytest.raises(UserError, match="broke off"):
        fetch("it", [remote])
    assert left_over(cache) == ["file.part", "file.part.json"]
    (path,) = fetch("it", [remote])
    assert path.read_bytes() == CONTENT and server.seen[-1][1:] == ("bytes=900000-", 206)
    assert left_over(cache) == ["file"]


def test_a_part_of_another_version_is_discarded_and_said(
    server: Server, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote = Remote("file", DIGEST, (server.url("plain/file"),))
    server.content, server.tag, server.breaks = CONTENT[::-1], '"0"', 3
    with pytest.raises(UserError):
        fetch("it", [remote])
    server.content, server.tag = CONTENT, '"1"'
    (path,) = fetch("it", [remote])
    assert path.read_bytes() == CONTENT
    assert "the server's file has changed, starting over" in capsys.readouterr().err


def test_a_part_longer_than_the_file_is_discarded(server: Server, cache: Path) -> None:
    remote = Remote("file", DIGEST, (server.url("plain/file"),))
    server.breaks = 3
    with pytest.raises(UserError):
        fetch("it", [remote])
    (cache / "file.part").write_bytes(CONTENT + b"more")
    assert fetch("it", [remote])[0].read_bytes() == CONTENT


def test_a_part_that_is_whole_needs_no_transfer(server: Server, cache: Path) -> None:
    (cache / "file.part").write_bytes(CONTENT)
    assert fetch("it", [Remote("file", DIGEST, (server.url("plain/file"),))])[0].read_bytes() == CONTENT
    assert server.seen == []


def test_a_wrong_file_is_discarded_and_the_next_mirror_is_asked(
    server: Server, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirrors = (server.url("forbidden/file"), server.url("wrong/file"), server.url("elsewhere/file"))
    (path,) = fetch("it", [Remote("file", DIGEST, mirrors)])
    assert path.read_bytes() == CONTENT and left_over(cache) == ["file"]
    assert "discarded, its sha256 is not the published one" in capsys.readouterr().err


def test_the_unzipped_content_is_what_counts(server: Server, cache: Path) -> None:
    server.content = gzip.compress(CONTENT, compresslevel=1)
    (path,) = fetch("it", [Remote("file.gz", DIGEST, (server.url("plain/file.gz"),), content=True)])
    assert gzip.decompress(path.read_bytes()) == CONTENT


def test_a_file_put_there_by_hand_is_enough(cache: Path) -> None:
    (cache / "file").write_bytes(CONTENT)
    assert fetch("it", [Remote("file", DIGEST, ("https://nowhere.invalid/file",))]) == [cache / "file"]


def test_a_damaged_file_in_the_cache_is_fetched_again(
    server: Server, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cache / "file").write_bytes(CONTENT[:-1])
    assert fetch("it", [Remote("file", DIGEST, (server.url("plain/file"),))])[0].read_bytes() == CONTENT
    assert "damaged" in capsys.readouterr().err


def test_the_alternative_that_is_here_wins_and_the_next_one_stands_in(server: Server, cache: Path) -> None:
    fast = Remote("fast", DIGEST, (server.url("forbidden/fast"),))
    slow = Remote("slow", DIGEST, (server.url("plain/slow"),))
    assert fetch("it", [fast], [slow]) == [cache / "slow"]
    asked = len(server.seen)
    assert fetch("it", [fast], [slow]) == [cache / "slow"] and len(server.seen) == asked


def test_offline_is_one_line_with_the_manual_way(server: Server, cache: Path) -> None:
    closed = server.url("plain/file")
    server.server_close()
    remote = Remote("set/file", DIGEST, (closed, "http://example.org/file"))
    with pytest.raises(UserError) as error:
        fetch("MNIST", [remote])
    host = closed.split("/")[2]
    assert str(error.value) == (
        f"cannot download MNIST (tried {host}: no connection; example.org: refused, since http://example.org is not "
        f"https): fetch file by other means and put it into {cache / 'set'}"
    )


def test_plain_http_is_refused_even_after_a_redirect(server: Server) -> None:
    with pytest.raises(UserError, match=r"refused, since http://example\.org is not https"):
        fetch("it", [Remote("file", DIGEST, (server.url("plainhttp/file"),))])
