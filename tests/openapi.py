"""Every answer against the OpenAPI document."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, request
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from tests import ofrep

UNDESCRIBED = {"openapi.front", "openapi.document", "openapi.page", "openapi.asset"}


def described(rule: Rule) -> str:
    """The path of a route as a document has it."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)


class Contract:
    """Notes each answer of an app that its document does not allow."""

    def __init__(self, app: Flask) -> None:
        self.document: dict[str, Any] = app.extensions["flagsched_contract"]
        self.breaches: list[str] = []
        self.checked = 0
        self._registry: Registry[Any] = Registry().with_resource("urn:api", DRAFT202012.create_resource(self.document))
        self._validator = cache(self._make_validator)
        self._urls = app.url_map.bind("server")
        app.after_request(self.check)

    def check(self, answer: Response) -> Response:
        """Look at an answer of the app itself, and let it pass."""
        if request.url_rule is not None:
            self._look(request.url_rule, request.method, answer.status_code, answer.get_data())
        return answer

    def check_exchange(self, method: str, url: str, status: int, body: bytes) -> None:
        """Look at what a server of this app answered to a request that some route matches."""
        with suppress(HTTPException):
            rule, _ = self._urls.match(urlsplit(url).path, method=method, return_rule=True)
            self._look(rule, method, status, body)

    def _look(self, rule: Rule, method: str, status: int, body: bytes) -> None:
        if "." in rule.endpoint and rule.endpoint not in UNDESCRIBED and method in (rule.methods or set()):
            self.checked += 1
            path = described(rule)
            if breach := self._judge(rule)(path, method, status, body):
                self.breaches.append(f"{method} {path} {status}: {breach}")

    def _judge(self, rule: Rule) -> Callable[[str, str, int, bytes], str | None]:
        if "ofrep." not in rule.endpoint:
            return self._breach
        return lambda path, method, status, body: None if method == "HEAD" else ofrep.breach(path, status, body)

    def _breach(self, path: str, method: str, status: int, body: bytes) -> str | None:
        operation = self.document["paths"].get(path, {}).get("get" if method == "HEAD" else method.lower())
        if operation is None:
            return "the operation is not described"
        if str(status) not in operation["responses"]:
            return "the status is not described"
        if status in {204, 304} or method == "HEAD":
            return "a body, and there should be none" if status in {204, 304} and body else None
        errors = self._validator(path, method.lower(), status).iter_errors(json.loads(body))
        return "; ".join(f"{e.json_path}: {e.message}" for e in errors)[:500] or None

    def _make_validator(self, path: str, method: str, status: int) -> Any:
        response = self.document["paths"][path][method]["responses"][str(status)]
        while "$ref" in response:
            response = self._registry.resolver("urn:api").lookup(response["$ref"]).contents
        schema = response["content"]["application/json"]["schema"]
        anchored = {"$id": "urn:answer", "allOf": [self._absolute(schema)]}
        return Draft202012Validator(
            anchored, registry=self._registry, format_checker=Draft202012Validator.FORMAT_CHECKER
        )

    def _absolute(self, schema: Any) -> Any:
        if isinstance(schema, dict):
            return {k: f"urn:api{v}" if k == "$ref" else self._absolute(v) for k, v in schema.items()}
        return [self._absolute(one) for one in schema] if isinstance(schema, list) else schema
