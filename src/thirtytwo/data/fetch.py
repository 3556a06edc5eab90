"""Downloads that can be trusted: several mirrors, https only, resumed where they broke off, checked by hash."""

import gzip
import hashlib
import json
import sys
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from thirtytwo.data.cache import cache_dir
from thirtytwo.data.waiting import bar
from thirtytwo.errors import UserError

if TYPE_CHECKING:
    import requests

ATTEMPTS = 3
"""Attempts per mirror; each asks for the rest after the transfer before it broke off."""

CHUNK = 1 << 18


@dataclass(frozen=True)
class Remote:
    """A file that others publish.

    Attributes:
        path: its path inside the cache folder.
        sha256: its digest, hex.
        urls: mirrors, the best first.
        content: whether the digest is that of the unzipped content, so that it does not matter who zipped it.
    """

    path: str
    sha256: str
    urls: tuple[str, ...]
    content: bool = False

    @property
    def here(self) -> Path:
        """Its place in the cache folder."""
        return cache_dir() / self.path

    def matches(self, path: Path) -> bool:
        """Whether ``path`` is this file, whole and unchanged."""
        digest = hashlib.sha256()
        try:
            with gzip.open(path) if self.content else path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
        except (OSError, EOFError, zlib.error):
            return False
        return digest.hexdigest() == self.sha256


class _Failed(Exception):
    """Why one mirror failed; ``again`` if asking it for the rest may help."""

    def __init__(self, reason: str, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


def fetch(what: str, *alternatives: Sequence[Remote]) -> list[Path]:
    """The files of the first alternative that is in the cache already, else of the first that can be downloaded.

    Args:
        what: what messages call it, such as ``CIFAR-10``.
        alternatives: groups of files with the same images; the last is the one to fetch by hand.

    Every file is checked against its digest each time. Raises UserError, in one line that names the mirrors tried, why
    each failed, and which file to put where by hand.
    """
    for files in alternatives:
        if all(file.matches(file.here) for file in files):
            return [file.here for file in files]
    reasons: list[str] = []
    for files in alternatives:
        try:
            return [_download(file) for file in files]
        except _Failed as error:
            reasons.append(str(error))
    by_hand = alternatives[-1]
    names = ", ".join(file.here.name for file in by_hand)
    raise UserError(
        f"cannot download {what} (tried {'; '.join(reasons)}): "
        f"fetch {names} by other means and put {'it' if len(by_hand) == 1 else 'them'} into {by_hand[0].here.parent}"
    )


def _download(remote: Remote) -> Path:
    import requests
    from filelock import FileLock

    target = remote.here
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")), requests.Session() as session:
            if remote.matches(target):  # another process fetched it meanwhile
                return target
            if target.exists():
                _say(f"{target}: damaged, or a different file of that name: downloading it again")
            reasons = []
            for url in remote.urls:
                try:
                    return _from_mirror(session, url, remote)
                except _Failed as error:
                    reasons.append(f"{urlsplit(url).netloc}: {error}")
    except OSError as error:
        raise UserError(
            f"{target}: cannot be written ({error.strerror}): set THIRTYTWO_CACHE to a folder with free space"
        ) from None
    raise _Failed("; ".join(reasons))


def _from_mirror(session: "requests.Session", url: str, remote: Remote) -> Path:
    target, part = remote.here, remote.here.with_name(f"{remote.here.name}.part")
    for attempt in range(ATTEMPTS):
        if remote.matches(part):  # all but renamed when an earlier process was stopped
            break
        try:
            _transfer(session, url, part)
            break
        except _Failed as error:
            if not error.again or attempt == ATTEMPTS - 1:
                raise
    _origin(part).unlink(missing_ok=True)
    if not remote.matches(part):
        part.unlink()
        _say(f"{url}: discarded, its sha256 is not the published one")
        raise _Failed("not the published file")
    part.replace(target)
    return target


def _transfer(session: "requests.Session", url: str, part: Path) -> None:
    """One request that completes ``part``, from where it ends now if the server's file is still the same."""
    import requests
    import urllib3

    headers = {"Accept-Encoding": "identity"}
    have, validator = _resumable(part, url)
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    try:
        with closing(_open(session, url, headers)) as response:
            if response.status_code == 416 and have:
                part.unlink()
                raise _Failed("the partial download does not match", again=True)
            if response.status_code not in (200, 206):
                raise _Failed(f"HTTP {response.status_code}")
            if have and response.status_code == 200:
                _say(f"{url}: the server's file has changed, starting over")
                have = 0
            origin = {"url": url, "validator": _validator(response)}
            _origin(part).write_text(json.dumps(origin), encoding="utf-8")
            length = response.headers.get("Content-Length")
            _save(response, part, have, None if length is None else have + int(length))
    except requests.exceptions.SSLError:
        raise _Failed("its certificate is not trusted") from None
    except requests.ConnectTimeout:
        raise _Failed("no connection") from None
    except requests.Timeout:
        raise _Failed("timed out", again=True) from None
    except requests.ConnectionError:
        raise _Failed("no connection") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError):
        raise _Failed("the transfer broke off", again=True) from None


def _save(response: "requests.Response", part: Path, have: int, total: int | None) -> None:
    from rich.progress import DownloadColumn, TransferSpeedColumn

    with bar(DownloadColumn(), TransferSpeedColumn()) as shown, part.open("ab" if have else "wb") as file:
        task = shown.add_task(part.name.removesuffix(".part"), total=total, completed=have)
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            file.write(chunk)
            shown.advance(task, len(chunk))
    if total is not None and part.stat().st_size != total:
        raise _Failed("the transfer broke off", again=True)


def _open(session: "requests.Session", url: str, headers: dict[str, str]) -> "requests.Response":
    """GET, following redirects by hand so that none leads to plain http."""
    for _ in range(6):
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
            raise _Failed(f"refused, since {parts.scheme}://{parts.netloc} is not https")
        response = session.get(url, headers=headers, stream=True, timeout=(10, 60), allow_redirects=False)
        if not response.is_redirect:
            return response
        response.close()
        url = urljoin(url, response.headers["Location"])
    raise _Failed("too many redirects")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _resumable(part: Path, url: str) -> tuple[int, str]:
    """How many bytes of this URL's file are here, and what proves that the server's file is still the same."""
    try:
        origin = json.loads(_origin(part).read_text(encoding="utf-8"))
        if origin["url"] == url and origin["validator"]:
            return part.stat().st_size, str(origin["validator"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return 0, ""


def _validator(response: "requests.Response") -> str:
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _origin(part: Path) -> Path:
    """The file beside a ``.part`` that says which server it came from."""
    return part.with_name(f"{part.name}.json")


def _say(line: str) -> None:
    print(line, file=sys.stderr)
