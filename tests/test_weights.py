"""Weights: where they are looked for, how they are fetched, what is refused. A real https server on this machine."""

from __future__ import annotations

import datetime
import hashlib
import http.server
import io
import ipaddress
import multiprocessing
import ssl
import threading
import zipfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tasks.backends import weights
from tasks.backends.weights import Weight, WeightsError, digest, found, locate

DATA = bytes(range(256)) * 40
SHA = hashlib.sha256(DATA).hexdigest()


def zipped(*entries: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return buffer.getvalue()


class _Server(http.server.ThreadingHTTPServer):
    """Serves `pages`: path -> bytes, or a status number, or a redirect's target; counts the requests."""

    pages: dict[str, bytes | int | str]
    asked: list[str]


class _Pages(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        page = self.server.pages.get(self.path, 404)
        if isinstance(page, str):
            self.send_response(302)
            self.send_header("Location", page)
            self.end_headers()
        elif isinstance(page, int):
            self.send_error(page)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(page) + (1000 if self.path == "/cut" else 0)))
            self.end_headers()
            self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:
        pass


def certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + made.public_bytes(serialization.Encoding.PEM)
    path = folder / "server.pem"
    path.write_bytes(pem)
    return path


@pytest.fixture
def server(tmp_path, monkeypatch):
    pem = certificate(tmp_path)
    made = _Server(("127.0.0.1", 0), _Pages)
    made.pages, made.asked = {}, []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    made.socket = context.wrap_socket(made.socket, server_side=True)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DUETFLOW_CACHE", str(tmp_path / "cache"))
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def table(server, monkeypatch):
    """Puts one entry into the table, served by the server."""

    def put(page: bytes | int | str | None = DATA, path: str = "/net", **changes: object) -> Weight:
        values: dict = {"name": "net", "file": "net.onnx", "licence": "none", "origin": "made by this test"}
        values |= {"address": f"https://127.0.0.1:{server.server_port}{path}"} | changes
        if page is not None:
            server.pages[path] = page
        entry = Weight(**values)
        monkeypatch.setitem(weights.TABLE, entry.name, entry)
        return entry

    return put


def leftovers() -> list[str]:
    return sorted(p.name for p in weights.cache_folder().iterdir() if not p.name.endswith(".lock"))


def test_directory_comes_before_cache_and_cache_before_address(table, server, tmp_path):
    table(size=len(DATA), sha256=SHA)
    assert found("net", tmp_path) is None
    fetched = locate("net", tmp_path)
    assert fetched == weights.cache_folder() / "net.onnx"
    assert fetched.read_bytes() == DATA
    assert locate("net", tmp_path) == fetched == found("net", tmp_path)
    assert server.asked == ["/net"]
    (tmp_path / "net.onnx").write_bytes(b"retrained")
    assert locate("net", tmp_path) == tmp_path / "net.onnx" == found("net", tmp_path)
    assert digest("net", tmp_path) == hashlib.sha256(b"retrained").hexdigest()
    assert digest("net", None) == SHA
    assert leftovers() == ["net.onnx"]


def test_one_entry_of_a_zip_is_taken_and_its_path_is_never_followed(table):
    page = zipped(("../../escape.onnx", b"no"), ("a/b/end2end.onnx", DATA), ("a/notend2end.onnx", b"no"))
    table(page, member="/end2end.onnx", size=len(DATA), sha256=SHA)
    assert locate("net", None).read_bytes() == DATA
    assert leftovers() == ["net.onnx"]


@pytest.mark.parametrize(
    ("page", "path", "changes", "says"),
    [
        pytest.param(DATA, "/net", {"sha256": "0" * 64}, f"want sha256 {'0' * 64}, got {SHA}", id="another file"),
        pytest.param(DATA, "/net", {"size": len(DATA) + 1}, f"want {len(DATA) + 1} bytes, got {len(DATA)}", id="short"),
        pytest.param(DATA, "/net", {"size": 100}, "wanted at most 100", id="larger than it may be"),
        pytest.param(DATA, "/cut", {}, "the connection broke off", id="breaks off"),
        pytest.param(503, "/net", {}, "503", id="refused"),
        pytest.param("http://127.0.0.1:1/net", "/net", {}, "redirected away from https", id="redirect to http"),
        pytest.param(None, "/net", {"address": "http://127.0.0.1:1/net"}, "want an https address", id="plain http"),
        pytest.param(None, "/net", {"address": "https://127.0.0.1:1/net"}, "Connection refused", id="nobody there"),
        pytest.param(None, "/net", {"address": None}, "no address publishes it", id="no address"),
        pytest.param(DATA, "/net", {"member": "/x"}, "a zip that does not open", id="no zip"),
        pytest.param(zipped(("y", DATA)), "/net", {"member": "/x"}, "one entry should end in /x", id="not in the zip"),
        pytest.param(
            zipped(("a/x", DATA), ("b/x", DATA)), "/net", {"member": "/x"}, "one entry", id="twice in the zip"
        ),
        pytest.param(
            zipped(("x", DATA)), "/net", {"member": "/x", "size": 99}, "more than the 99 bytes", id="zip bomb"
        ),
    ],
)
def test_what_is_refused_names_file_address_and_directory_and_leaves_nothing(
    table, tmp_path, page, path, changes, says
):
    entry = table(page, path, **changes)
    with pytest.raises(WeightsError) as refusal:
        locate("net", tmp_path / "mine")
    text = str(refusal.value)
    assert says in text
    if "sha256" not in changes and "bytes, got" not in says:
        assert "net.onnx" in text
        assert str(tmp_path / "mine") in text
        assert (entry.address or "made by this test") in text
    assert not weights.cache_folder().exists() or leftovers() == []


def test_without_leave_to_download_nothing_is_asked(table, server, tmp_path):
    table()
    for call in (lambda: locate("net", tmp_path, download=False), lambda: digest("net", tmp_path)):
        with pytest.raises(WeightsError, match="downloads are off"):
            call()
    assert server.asked == []


def test_an_unknown_sha256_is_recorded_at_first_and_held_to(table):
    table(b"first")
    path = locate("net", None)
    assert (path.parent / "net.onnx.sha256").read_text().split() == [hashlib.sha256(b"first").hexdigest(), "net.onnx"]
    path.unlink()
    table(b"second")
    with pytest.raises(WeightsError, match="the file there has changed"):
        locate("net", None)
    table(b"first")
    assert locate("net", None).read_bytes() == b"first"


def test_a_damaged_cache_is_noticed(table):
    table(sha256=SHA)
    path = locate("net", None)
    path.write_bytes(DATA[:-1] + b"?")
    with pytest.raises(WeightsError, match="delete the file to fetch it again"):
        locate("net", None)
    with pytest.raises(WeightsError, match="delete the file to fetch it again"):
        digest("net", None)


def test_several_processes_fetch_once(table, server):
    table(sha256=SHA)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=locate, args=("net", None)) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0] * 6
    assert server.asked == ["/net"]


def test_the_table_is_whole():
    assert len({entry.file for entry in weights.TABLE.values()}) == len(weights.TABLE)
    for name, entry in weights.TABLE.items():
        assert name == entry.name
        assert entry.licence
        assert entry.origin
        assert entry.address is None or entry.address.startswith("https://")
        assert entry.sha256 is None or len(bytes.fromhex(entry.sha256)) == 32
        assert (entry.member is not None) == (entry.address or "").endswith(".zip")
    with pytest.raises(ValueError, match="want one of rtmdet-nano"):
        weights.weight("rtmdet")


def test_the_table_knows_the_shared_files(shared):
    sums = dict(reversed(line.split()) for line in (shared / "weights" / "SHA256SUMS").read_text().splitlines())
    known = {entry.file: entry for entry in weights.TABLE.values() if entry.file in sums}
    assert len(known) >= 6
    for file, entry in known.items():
        assert entry.sha256 == sums[file]
        assert entry.size == (shared / "weights" / file).stat().st_size
        assert digest(entry.name, shared / "weights") == entry.sha256
