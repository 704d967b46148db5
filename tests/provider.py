"""An identity provider's JWKS on a real HTTP server of this machine."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread


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


@contextmanager
def provider(body: bytes) -> Iterator[Provider]:
    """One that answers with this body, at its `url`."""
    served = Provider(body)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # Whoever asked may be gone.
            with suppress(OSError):
                served.answer(self)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
    try:
        yield served
    finally:
        served.answering.set()
        served.drips = False
        server.shutdown()
        server.server_close()
        thread.join()
