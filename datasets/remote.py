"""s3:// addresses: objects read, put whole, listed, copied, removed; through fsspec and s3fs, and only here.

Credentials and endpoint come from where AWS's own tools look for them (environment, ~/.aws, the machine's role) or from
fsspec's configuration. No address, error or file of ours holds one. Every request goes through `_call`.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEME = "s3://"
# Environment variables whose values must never be told, wherever an error may have picked them up.
SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "FSSPEC_S3_SECRET", "FSSPEC_S3_KEY")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
# S3 lists so many objects a request.
PAGE = 1000
ATTEMPTS = 3
_MISSING = ("NoSuchKey", "NoSuchBucket", "404", "NotFound")
# Credentials that have stopped to work are no object's fault.
_BROKEN = ("ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "RequestTimeTooSkewed")
# The errno of an error that is the store's or the network's: a run ends with it, to go on later.
OUT_OF_REACH = errno.EHOSTUNREACH
_CHANGED = ("PreconditionFailed", "412", "ConditionalRequestConflict")


class AddressError(ValueError):
    """An address that cannot be used: what, wanted, got and what to do. It names no credential."""


class ChangedError(OSError):
    """An object is not what a conditional put wanted it to be: another writer was faster."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What a listing tells of an object."""

    size: int  # bytes
    etag: str  # changes with its bytes


def is_address(place: str | os.PathLike[str]) -> bool:
    """Whether a place is an address, and not a path of this machine.

    >>> is_address("s3://bucket/out"), is_address("out/mine")
    (True, False)
    """
    return isinstance(place, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", place) is not None


def check_address(address: str, what: str) -> None:
    """Raise AddressError unless it is an s3:// address without credentials and s3fs is installed; sends nothing."""
    scheme, _, rest = address.partition("://")
    bucket, _, key = rest.partition("/")
    if "@" in bucket or re.search(r"(X-Amz-|AWSAccessKeyId|Signature=)", rest, re.I):
        raise AddressError(
            f"{what}: want an address without credentials, got one that holds some; give them by the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE) or AWS's own files"
        )
    if scheme != "s3":
        raise AddressError(f"{what} {address}: want a folder or s3://BUCKET/NAME, got an address of {scheme}://")
    if not _BUCKET.fullmatch(bucket):
        raise AddressError(f"{what} {address}: want s3://BUCKET/NAME, got the bucket {bucket!r}")
    if any(part in ("", ".", "..") for part in key.rstrip("/").split("/")) and key.strip("/"):
        raise AddressError(f"{what} {address}: want a plain name in the bucket, got one with empty parts, . or ..")
    if importlib.util.find_spec("s3fs") is None:
        raise AddressError(f"{what} {address}: want the package s3fs, got none; install the extra: pip install '.[s3]'")


def place_of(place: str) -> str:
    """A path made absolute; an address without a slash at its end."""
    return place.rstrip("/") if is_address(place) else str(Path(place).absolute())


def join(address: str, name: str) -> str:
    """The address of a name under another."""
    return f"{address.rstrip('/')}/{name}" if name else address


def read(address: str, start: int = 0, size: int | None = None) -> bytes:
    """Bytes of an object, all or `size` of them from `start`. Raises FileNotFoundError, OSError."""
    if size == 0:
        return b""
    wanted = {"Range": f"bytes={start}-{'' if size is None else start + size - 1}"} if start or size else {}
    return bytes(_filesystem_body(address, **wanted))


def fetch(address: str, path: Path, *, etag: str | None = None) -> None:
    """An object's bytes into a local file. With `etag` only the very bytes that were listed.

    Raises FileNotFoundError, ChangedError for other bytes, OSError.
    """
    wanted = {"IfMatch": etag} if etag else {}
    for attempt in range(1, ATTEMPTS + 1):
        told = _call(address, "get_object", **wanted)
        try:
            _plain(address, lambda body=told["Body"]: _stream(body, path))
        except OSError:
            # s3fs tries a request again, but not the body of an answer that broke off.
            if attempt == ATTEMPTS:
                raise
            continue
        if path.stat().st_size == int(told["ContentLength"]):
            return
    raise OSError(errno.EIO, f"want {told['ContentLength']} bytes, got {path.stat().st_size}", address)


def put(address: str, data: bytes, *, replaces: str | None = None, new: bool = False) -> str:
    """Put bytes as one object, and give its etag. A reader sees the object before or after it, never a part.

    With `new` only where there is none; with `replaces` only where the object still has that etag. Raises ChangedError
    when it is otherwise, OSError.
    """
    only = {"IfMatch": replaces} if replaces is not None else {"IfNoneMatch": "*"} if new else {}
    return str(_call(address, "put_object", Body=data, **only)["ETag"])


def send(path: Path, address: str) -> None:
    """A local file as one object; a large one in parts, which become the object at once. Raises OSError."""
    _plain(address, lambda: _filesystem().put_file(str(path), _bare(address)))


def stat(address: str) -> Stat | None:
    """Size and etag of an object; None where there is none. One request. Raises OSError."""
    try:
        told = _call(address, "head_object")
    except FileNotFoundError:
        return None
    return Stat(int(told["ContentLength"]), str(told["ETag"]))


def aged(address: str) -> tuple[bytes, str, float]:
    """An object's bytes, its etag, and the seconds since it was put, by the store's own clock alone.

    Raises FileNotFoundError, OSError.
    """
    from email.utils import parsedate_to_datetime

    told = _call(address, "get_object")
    now = told["ResponseMetadata"]["HTTPHeaders"].get("date")
    data = _whole(told["Body"])
    age = (parsedate_to_datetime(now) - told["LastModified"]).total_seconds() if now else 0.0
    return data, str(told["ETag"]), age


def listing(address: str, *, beginning: str = "", folder: bool = True) -> Iterator[tuple[str, Stat]]:
    """Every object below an address, by name relative to it, sorted; a request for each thousand.

    With `folder` off only those directly in it. `beginning` takes only names that begin with it, so that a search for a
    few among many is one request. Names that are no plain paths ("", "." or ".." in them) are left out: no file of this
    machine may be named by them. Raises OSError.
    """
    key = _split(address.rstrip("/"))[1]
    below = f"{key}/" if key else ""
    page: dict[str, Any] = {"Prefix": below + beginning, "MaxKeys": PAGE}
    if not folder:
        page["Delimiter"] = "/"
    while True:
        told = _call(address, "list_objects_v2", Key=None, **page)
        for one in told.get("Contents", ()):
            name = one["Key"][len(below) :]
            if not any(part in ("", ".", "..") or "\0" in part for part in name.split("/")):
                yield name, Stat(int(one["Size"]), str(one["ETag"]))
        if not told.get("IsTruncated"):
            return
        page["ContinuationToken"] = told["NextContinuationToken"]


def top_names(address: str) -> set[str]:
    """The first thousand names directly below an address, files and folders. One request. Raises OSError."""
    key = _split(address.rstrip("/"))[1]
    below = f"{key}/" if key else ""
    told = _call(address, "list_objects_v2", Key=None, Prefix=below, Delimiter="/", MaxKeys=PAGE)
    found = [one["Key"] for one in told.get("Contents", ())] + [one["Prefix"] for one in told.get("CommonPrefixes", ())]
    return {name[len(below) :].rstrip("/") for name in found} - {""}


def remove(address: str) -> None:
    """Remove an object; nothing happens where there is none. Raises OSError."""
    _call(address, "delete_object")


def secret_free(text: str) -> str:
    """A text without the credentials that this process was given."""
    for name in SECRETS:
        value = os.environ.get(name, "")
        if len(value) >= 4:
            text = text.replace(value, f"({name})")
    # An endpoint may have been given with a name and a password in it.
    return re.sub(r"://[^/\s@]+@", "://", text)


def endpoint() -> str:
    """Which store the addresses are of, for the names of local copies; empty: AWS's own."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _split(address: str) -> tuple[str, str]:
    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    return bucket, key


def _bare(address: str) -> str:
    return address.removeprefix(SCHEME)


def _filesystem() -> Any:
    """s3fs, which fsspec keeps one of for each process: asked for anew each time, so that a fork gets its own."""
    import fsspec

    # Its cache of listings would show a folder as it was before another machine wrote to it.
    return fsspec.filesystem("s3", use_listings_cache=False)


def _filesystem_body(address: str, **wanted: Any) -> bytes:
    return _whole(_call(address, "get_object", **wanted)["Body"])


def _stream(body: Any, path: Path) -> None:
    from fsspec.asyn import sync

    async def take() -> None:
        try:
            with path.open("wb") as file:
                while block := await body.read(1 << 20):
                    file.write(block)
        finally:
            body.close()

    sync(_filesystem().loop, take)


def _whole(body: Any) -> bytes:
    from fsspec.asyn import sync

    async def take() -> bytes:
        try:
            return bytes(await body.read())
        finally:
            body.close()

    return bytes(sync(_filesystem().loop, take))


def _call(address: str, method: str, **arguments: Any) -> Any:
    """One request of S3's own; `Key` is the address's unless given, None for a request on the bucket."""
    bucket, key = _split(address)
    arguments = {"Bucket": bucket, "Key": key, **arguments}
    arguments = {name: value for name, value in arguments.items() if value is not None}
    return _plain(address, lambda: _filesystem().call_s3(method, **arguments))


def _plain(address: str, do: Any) -> Any:
    """Whatever s3fs and botocore raise, as an OSError that names the address and no credential."""
    try:
        return do()
    except Exception as error:
        codes = {_code(error), _code(error.__cause__)}
        if isinstance(error, FileNotFoundError) or codes & set(_MISSING):
            wanted = "no such bucket" if "NoSuchBucket" in codes else "No such file"
            raise FileNotFoundError(errno.ENOENT, wanted, address) from None
        if isinstance(error, FileExistsError) or codes & set(_CHANGED):
            raise ChangedError(errno.EEXIST, "another writer was faster", address) from None
        # `from None`: a traceback with botocore's own would print what it was given.
        said = secret_free(" ".join(str(error).split())) or type(error).__name__
        if isinstance(error, PermissionError) and not codes & set(_BROKEN):
            raise PermissionError(errno.EACCES, said, address) from None
        if isinstance(error, OSError) and error.filename and not isinstance(error, ConnectionError | TimeoutError):
            raise  # of this machine: its disk is full
        raise OSError(OUT_OF_REACH, said, address) from None


def _code(error: BaseException | None) -> str:
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
