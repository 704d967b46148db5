"""An identity provider's JWKS on a real HTTP server of this machine."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.tokens import rsa_key


class Provider:
    """What it answers may be changed between requests, and it counts them."""

    def __init__(self, body: bytes) -> None:
        self.body, self.status, self.headers = body, 200, {"Content-Type": "application/json"}
        self.asked: list[str] = []
        self.answering = Event()
        """Requests wait for it."""
        self.answering.set()
        self.drips = False
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        self.answering.wait(30)
        if self.drips:
            self._drip(handler)
            return
        handler.send_response(self.status)
        for name, value in ({"Content-Length": str(len(self.body))} | self.headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(self.body)

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        """A header that never ends, a byte at a time."""
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        pause = Event()
        while self.drips and not pause.wait(0.05):
            handler.wfile.write(b"x")


def certify(folder: Path) -> Path:
    """A key and a certificate for this machine that nobody vouches for, in one file."""
    key, name = rsa_key("certificate"), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return file


@contextmanager
def provider(body: bytes, certificate: Path | None = None) -> Iterator[Provider]:
    """One that answers with this body, at its `url`; by https if it has a certificate."""
    served = Provider(body)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # Whoever asked may be gone.
            with suppress(OSError):
                served.answer(self)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    served.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}/jwks.json"
    try:
        yield served
    finally:
        served.answering.set()
        served.drips = False
        server.shutdown()
        server.server_close()
        thread.join()
