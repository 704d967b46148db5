"""A flagsched server, asked over HTTP: bounded in time, without redirects, and with errors that say what to do."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from flagsched.client.errors import Refused, ServerFailed
from flagsched.version import __version__

CONNECT_SECONDS = 5
ANSWER_SECONDS = 30
NO_SUCH_PATH = "NOT_FOUND"
"""The code of a path that a server has nothing at; a missing flag has a code of its own."""
Read = TypeVar("Read")
NO_HEADERS: Mapping[str, str] = {}
REFUSALS = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is, and the caller's token for it."""

    url: str
    token: str = field(repr=False)

    @property
    def is_plain(self) -> bool:
        """Is the token sent to another machine as it is, without TLS?"""
        url = urlsplit(self.url)
        return url.scheme == "http" and not is_loopback(url.hostname)

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Ask for the object that is there; Refused, ServerFailed."""
        return self._send("GET", path, None, query)

    def put(self, path: str, body: Mapping[str, Any], **query: str) -> dict[str, Any]:
        """Send JSON, and return the object that is answered; Refused, ServerFailed."""
        return self._send("PUT", path, body, query)

    def post(self, path: str, body: Mapping[str, Any], *, once: str = "", **query: str) -> dict[str, Any]:
        """As `put`; sent again with the same key `once`, it has no second effect."""
        return self._send("POST", path, body, query, {"Idempotency-Key": once} if once else {})

    def read(self, ask: Callable[[], Read]) -> Read:
        """What `ask` makes of an answer; ServerFailed with all reasons if the server refuses, or answers otherwise."""
        try:
            return ask()
        except Refused as refused:
            raise ServerFailed(refused.told()) from refused
        except (KeyError, TypeError, ValueError) as error:
            message = f"{self.url} answers in another way than this flagsched expects: are both of the same release?"
            raise ServerFailed(message) from error

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str],
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> dict[str, Any]:
        try:
            response = requests.request(
                method,
                self.url.rstrip("/") + path,
                params=query,
                json=body,
                auth=_Bearer(self.token),
                headers={"User-Agent": f"flagsched/{__version__}", "Accept": "application/json", **headers},
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                proxies=_proxies(self.url),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise ServerFailed(self._unreached(error)) from error
        return self._read(response)

    def _unreached(self, error: requests.RequestException) -> str:
        match error:
            case requests.exceptions.ReadTimeout():
                return (
                    f"{self.url} has not answered within {ANSWER_SECONDS} s, so it is not known what it did: "
                    "run the command again, which is safe"
                )
            case requests.exceptions.ConnectTimeout():
                return f"no server answers at {self.url} within {CONNECT_SECONDS} s: is FLAGSCHED_URL right?"
            case requests.exceptions.SSLError():
                return f"the certificate of {self.url} is not accepted: {_cause(error)}"
            case requests.exceptions.ProxyError():
                return f"the proxy does not lead to {self.url}: {_cause(error)}; NO_PROXY leaves it out"
        return f"no server answers at {self.url}: {_cause(error)}. Is it running, and is FLAGSCHED_URL right?"

    def _read(self, response: requests.Response) -> dict[str, Any]:
        status, answer = response.status_code, _object(response)
        if status in (HTTPStatus.OK, HTTPStatus.CREATED) and answer is not None:
            return answer
        if status in REFUSALS and answer and answer.get("error") != NO_SUCH_PATH:
            raise Refused(str(answer.get("message")), answer.get("details"))
        raise ServerFailed(self._failure(response, answer or {}))

    def _failure(self, response: requests.Response, answer: Mapping[str, Any]) -> str:
        told = f"{response.status_code} {answer.get('message') or response.reason}"
        match response.status_code:
            case 401:
                return f"{self.url} does not accept FLAGSCHED_TOKEN: {told}. 'flagsched token --subject NAME' makes one"
            case 403:
                return f"the role in FLAGSCHED_TOKEN is not enough: {told}"
            case 404 | 405:
                return (
                    f"no flagsched that knows this is at {self.url}: {told}. "
                    "FLAGSCHED_URL is the address before /api/admin"
                )
            case 200 | 201:
                return f"what answers at {self.url} is no flagsched: it sends no JSON. Is FLAGSCHED_URL right?"
            case status if 300 <= status < 400:
                place = response.headers.get("Location", "another address")
                return f"{self.url} redirects to {place}: set FLAGSCHED_URL to the server's own address"
        return f"{self.url} can't do this: {told}{_when(response)}{_which(answer)}"


def is_loopback(host: str | None) -> bool:
    """Is it this machine?"""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def refuse_bad_url(text: str) -> None:
    """ValueError unless it is the address of a server."""
    url = urlsplit(text)
    # Reading an invalid port raises ValueError.
    if url.scheme not in {"http", "https"} or not url.hostname or url.port == 0:
        raise ValueError("must be the server's address, like 'https://flags.example.com'")
    if url.username is not None or url.query or url.fragment:
        raise ValueError("must have no user, no password, no query and no fragment")


class _Bearer(AuthBase):
    """As `auth`, since requests prefers a login that ~/.netrc has for the host to a header."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _proxies(url: str) -> dict[str, str]:
    # A configured proxy does not lead to this machine.
    host = urlsplit(url).hostname
    return {"no_proxy": host} if host and is_loopback(host) else {}


def _object(response: requests.Response) -> dict[str, Any] | None:
    try:
        answer = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _when(response: requests.Response) -> str:
    after = response.headers.get("Retry-After")
    return f". Try again in {after} s" if after and after.isdecimal() else ""


def _which(answer: Mapping[str, Any]) -> str:
    return f" (request {answer['requestId']})" if "requestId" in answer else ""


def _cause(error: BaseException) -> str:
    """What the operating system or TLS said; requests wraps it in several lines of its own."""
    causes = [one for one in _chain(error) if isinstance(one, OSError) and one.strerror]
    return str(causes[-1].strerror) if causes else type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
