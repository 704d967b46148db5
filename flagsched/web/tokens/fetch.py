"""Reads the file or URL that the operator named: bounded in size and time, and without redirects."""

from contextlib import suppress
from http.client import HTTPConnection, HTTPSConnection
from ipaddress import ip_address
from pathlib import Path
from socket import SHUT_RDWR, socket
from threading import Timer
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

MAX_BYTES = 256 * 1024
FETCH_SECONDS = 5
"""For the whole fetch, however slowly the server sends."""
SOCKET_SECONDS = 3


def is_url(source: str) -> bool:
    """Is it a URL, and not the path of a file?"""
    return "://" in source


def read_source(source: str) -> bytes:
    """The content of the file or URL; OSError, HTTPException or ValueError."""
    if is_url(source):
        return _fetch(source)
    with Path(source).open("rb") as file:
        return _bounded(file.read(MAX_BYTES + 1))


def refuse_unsafe_url(text: str) -> None:
    """ValueError unless the URL is https, or http on a loopback address."""
    url = urlsplit(text)
    # Reading an invalid port raises ValueError.
    if url.username is not None or url.fragment or not url.hostname or url.port == 0:
        raise ValueError("must be a URL with a host, without a user, a password and a fragment")
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.hostname)):
        raise ValueError("must be a file, or a URL that begins with https:// (http:// for this machine alone)")


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def _bounded(text: bytes) -> bytes:
    if len(text) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES} bytes")
    return text


def _fetch(url: str) -> bytes:
    # A configured proxy does not lead to this machine.
    proxies = ProxyHandler({}) if _is_loopback(urlsplit(url).hostname) else ProxyHandler()
    opener = build_opener(proxies, _NoRedirects(), _Http(), _Https())
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 - https, or this machine.
    try:
        with opener.open(request, timeout=SOCKET_SECONDS) as response:
            return _bounded(response.read(MAX_BYTES + 1))
    except HTTPError as error:
        error.close()
        raise


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: a redirect is an error like any other status."""


def _set_deadline(connected: socket) -> None:
    """Shut the socket down after FETCH_SECONDS: its own timeout restarts with each byte that arrives."""

    def shut_down() -> None:
        with suppress(OSError):
            connected.shutdown(SHUT_RDWR)

    timer = Timer(FETCH_SECONDS, shut_down)
    timer.daemon = True
    timer.start()


class _HttpConnection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _set_deadline(self.sock)


class _HttpsConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _set_deadline(self.sock)


class _Http(HTTPHandler):
    def http_open(self, req: Request) -> Any:
        """With a deadline for the whole response."""
        return self.do_open(_HttpConnection, req)


class _Https(HTTPSHandler):
    def https_open(self, req: Request) -> Any:
        """With a deadline for the whole response."""
        return self.do_open(_HttpsConnection, req)
