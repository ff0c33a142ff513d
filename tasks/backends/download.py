"""Address -> file: one https download and one entry of a zip, bounded and checked for breaking off."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Protocol

TIMEOUT_S = 60.0
CHUNK = 1 << 20


class DownloadError(OSError):
    """A download that did not give the whole file, or an archive that does not hold it."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Writable(Protocol):
    def write(self, data: bytes, /) -> int: ...


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https and to nothing else."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if not newurl.startswith("https://"):
            raise urllib.error.URLError(f"redirected away from https, to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(address: str, to: Path, *, limit: int, label: str) -> None:
    """The bytes of an https address into a file, with progress on standard error.

    Raises DownloadError when the address is not https, refuses, redirects away from https, is silent for a minute,
    breaks off, or has more than `limit` bytes.
    """
    if not address.startswith("https://"):
        raise DownloadError(f"want an https address, got {address}")
    opener = urllib.request.build_opener(_HttpsOnly(), urllib.request.HTTPSHandler(context=_context()))
    request = urllib.request.Request(address, headers={"User-Agent": "duetflow"})
    try:
        with opener.open(request, timeout=TIMEOUT_S) as response, open(to, "wb") as file:
            length = response.headers.get("Content-Length")
            total = int(length) if length else None
            if total is not None and total > limit:
                raise DownloadError(f"{total} bytes, wanted at most {limit}")
            done = _copy(response, file, limit, _Progress(label, total))
    except DownloadError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadError(f"{type(error).__name__}: {error}") from error
    if total is not None and done != total:
        raise DownloadError(f"{done} of {total} bytes: the connection broke off")


def unzip_one(archive: Path, ending: str, to: Path, *, limit: int) -> None:
    """The one entry of a zip whose path ends so, into a file: names in the zip are compared, never written to.

    Raises DownloadError when the archive is broken, has none or several such entries, or unpacks to more than `limit`
    bytes.
    """
    ending = f"/{ending.lstrip('/')}"
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if f"/{entry.filename}".endswith(ending)]
            if len(entries) != 1:
                names = [entry.filename for entry in entries or opened.infolist()]
                raise DownloadError(f"a zip in which one entry should end in {ending}, and got {names[:8]}")
            with opened.open(entries[0]) as source, open(to, "wb") as file:
                _copy(source, file, limit)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DownloadError(f"a zip that does not open: {error}") from error


def _context() -> ssl.SSLContext:
    """The system's certificates and certifi's: a bare Debian has none of its own."""
    context = ssl.create_default_context()
    with contextlib.suppress(ImportError):
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def _copy(source: _Readable, to: _Writable, limit: int, progress: _Progress | None = None) -> int:
    done = 0
    while chunk := source.read(CHUNK):
        done += len(chunk)
        if done > limit:
            raise DownloadError(f"more than the {limit} bytes it may have")
        to.write(chunk)
        if progress:
            progress(done)
    return done


class _Progress:
    """A line on standard error: rewritten on a terminal, otherwise a new one every tenth."""

    def __init__(self, label: str, total: int | None) -> None:
        self.label, self.total, self.shown, self.at = label, total, -1, time.monotonic()

    def __call__(self, done: int) -> None:
        tenth = 10 * done // self.total if self.total else done // (50 << 20)
        terminal = sys.stderr.isatty()
        if tenth == self.shown and not (terminal and time.monotonic() - self.at > 0.2):
            return
        self.shown, self.at = tenth, time.monotonic()
        of = f" of {self.total / 1e6:.1f}" if self.total else ""
        end = "\r" if terminal and done != self.total else "\n"
        print(f"{self.label}: {done / 1e6:.1f}{of} MB", end=end, file=sys.stderr, flush=True)
