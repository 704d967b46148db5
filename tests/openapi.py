"""Every answer against the OpenAPI document."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from flask import Flask, Response, request
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from flagsched.web.openapi import contract_of
from tests import ofrep

Headers = Mapping[str, str]
Described = dict[str, Any]
# What an answer says by headers that are flagsched's own: each must be described where it is sent.
OURS = {
    "Allow", "Cache-Control", "ETag", "Flagsched-Snapshot-Age", "Idempotency-Replayed", "Link", "Location",
    "Retry-After", "Vary", "WWW-Authenticate", "X-Request-Id",
}  # fmt: skip
UNDESCRIBED = {"openapi.front", "openapi.document", "docs.page", "docs.asset"}


def described(rule: Rule) -> str:
    """The path of a route as a document has it."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)


class Operation(NamedTuple):
    """An operation of a document."""

    method: str
    path: str
    described: Described


def operations(document: Described) -> list[Operation]:
    """All operations of a document."""
    return [
        Operation(method.upper(), path, item[method])
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    ]


def _read(value: str, schema: Described) -> str | int:
    return int(value) if schema["type"] == "integer" and value.isdecimal() else value


class Contract:
    """Notes each answer of an app that its document does not allow."""

    def __init__(self, app: Flask, document: dict[str, Any] | None = None) -> None:
        """Check answers against `document`, else against the app's own."""
        self.app = app
        self.document = contract_of(app) if document is None else document
        self.breaches: list[str] = []
        self.checked = 0
        self._registry: Registry[Any] = Registry().with_resource("urn:api", DRAFT202012.create_resource(self.document))
        self._validator = cache(self._make_validator)
        self._urls = app.url_map.bind("server")
        app.after_request(self.check)

    def check(self, answer: Response) -> Response:
        """Look at an answer of the app itself, and let it pass."""
        if request.url_rule is not None:
            self._look(request.url_rule, request.method, answer.status_code, dict(answer.headers), answer.get_data())
        return answer

    def check_exchange(self, method: str, url: str, status: int, headers: Headers, body: bytes) -> None:
        """Look at what a server of this app answered to a request that some route matches."""
        with suppress(HTTPException):
            rule, _ = self._urls.match(urlsplit(url).path, method=method, return_rule=True)
            self._look(rule, method, status, headers, body)

    def _look(self, rule: Rule, method: str, status: int, headers: Headers, body: bytes) -> None:
        is_api = "." in rule.endpoint and not rule.endpoint.startswith("console")
        if is_api and rule.endpoint not in UNDESCRIBED and method in (rule.methods or set()):
            self.checked += 1
            path = described(rule)
            if breach := self._judge(rule)(path, method, status, headers, body):
                self.breaches.append(f"{method} {path} {status}: {breach}")

    def _judge(self, rule: Rule) -> Callable[[str, str, int, Headers, bytes], str | None]:
        if "ofrep." not in rule.endpoint:
            return self._breach
        return lambda path, method, status, _, body: None if method == "HEAD" else ofrep.breach(path, status, body)

    def _breach(self, path: str, method: str, status: int, headers: Headers, body: bytes) -> str | None:
        described_method = "get" if method == "HEAD" else method.lower()
        operation = self.document["paths"].get(path, {}).get(described_method)
        if operation is None:
            return "the operation is not described"
        if str(status) not in operation["responses"]:
            return "the status is not described"
        answer = self.resolve(operation["responses"][str(status)])
        return self._breach_of_headers(answer, headers) or self._breach_of_body(answer, method, headers, body)

    def _breach_of_headers(self, answer: Described, headers: Headers) -> str | None:
        described = {name: self.resolve(header) for name, header in answer["headers"].items()}
        for name, header in described.items():
            if name not in headers and header.get("required"):
                return f"the header {name} is missing"
            if name in headers and (wrong := self.wrong(header["schema"], _read(headers[name], header["schema"]))):
                return f"the header {name} is not as described: {wrong}"
        # `no-store` is what every answer says that has nothing else to say of it.
        silent = {"Cache-Control"} if headers.get("Cache-Control") == "no-store" else set()
        undescribed = [name for name in sorted(OURS - described.keys() - silent) if name in headers]
        return f"the header {undescribed[0]} is not described" if undescribed else None

    def _breach_of_body(self, answer: Described, method: str, headers: Headers, body: bytes) -> str | None:
        if "content" not in answer or method == "HEAD":
            return "a body, and there should be none" if body and method != "HEAD" else None
        media = answer["content"].get(headers["Content-Type"])
        return self.wrong(media["schema"], json.loads(body)) if media else "the media type is not described"

    def wrong(self, schema: Described, value: Any) -> str | None:
        """What of a value a schema does not allow, if anything."""
        errors = self._validator(json.dumps(schema)).iter_errors(value)
        return "; ".join(f"{e.json_path}: {e.message}" for e in errors)[:500] or None

    def resolve(self, described: Described) -> Described:
        """What is described, or what is described where it refers to."""
        while "$ref" in described:
            described = self._registry.resolver("urn:api").lookup(described["$ref"]).contents
        return described

    def _make_validator(self, schema: str) -> Any:
        anchored = {"$id": "urn:answer", "allOf": [self._absolute(json.loads(schema))]}
        return Draft202012Validator(
            anchored, registry=self._registry, format_checker=Draft202012Validator.FORMAT_CHECKER
        )

    def _absolute(self, schema: Any) -> Any:
        if isinstance(schema, dict):
            return {k: f"urn:api{v}" if k == "$ref" else self._absolute(v) for k, v in schema.items()}
        return [self._absolute(one) for one in schema] if isinstance(schema, list) else schema
