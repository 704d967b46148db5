"""Every answer against the OpenAPI document."""

from functools import cache
from typing import Any

from flask import Flask, Response, request
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

UNDESCRIBED = {"openapi.document", "openapi.page", "openapi.asset"}


class Contract:
    """Notes each answer of an app that its document does not allow."""

    def __init__(self, app: Flask) -> None:
        self.document: dict[str, Any] = app.extensions["flagsched_contract"]
        self.breaches: list[str] = []
        self.checked = 0
        self._registry: Registry[Any] = Registry().with_resource("urn:api", DRAFT202012.create_resource(self.document))
        self._validator = cache(self._make_validator)
        app.after_request(self.check)

    def check(self, answer: Response) -> Response:
        """Look at an answer, and let it pass."""
        rule = request.url_rule
        if (
            rule is not None
            and "." in rule.endpoint
            and rule.endpoint not in UNDESCRIBED
            and request.method in (rule.methods or set())
        ):
            breach = self._breach(rule.rule.replace("<", "{").replace(">", "}"), answer)
            self.checked += 1
            if breach:
                self.breaches.append(f"{request.method} {request.path} {answer.status_code}: {breach}")
        return answer

    def _breach(self, path: str, answer: Response) -> str | None:
        method = "get" if request.method == "HEAD" else request.method.lower()
        operation = self.document["paths"].get(path, {}).get(method)
        if operation is None:
            return "the operation is not described"
        if str(answer.status_code) not in operation["responses"]:
            return "the status is not described"
        if answer.status_code == 204:
            return "a body, and there should be none" if answer.get_data() else None
        errors = self._validator(path, method, answer.status_code).iter_errors(answer.get_json())
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
