"""What the OpenAPI document says of requests, sent to the app: defaults, examples, limits and methods."""

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flagsched.bootstrap.web import create_app
from flagsched.web.auth import make_token
from tests.openapi import Contract, Described, operations
from tests.services import web_settings

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
ID = "0b9f4c1e-6d1c-4f6e-9a3b-2f1f0f6c8a11"
OTHER_TYPES: dict[str, list[Any]] = {
    "boolean": ["true", 1],
    "integer": ["25", 2.5, True],
    "string": [1],
    "object": [[]],
    "array": [{}],
}
# What differs from one time to the next.
VARYING = {
    "appliedAt", "batchId", "cause", "createdAt", "effectiveAt", "from", "id", "recordedAt", "requestId", "updatedAt",
}  # fmt: skip


class Sender:
    """Sends operations as their document describes them, with its own examples."""

    def __init__(self, client: FlaskClient, contract: Contract) -> None:
        self.client, self.contract = client, contract
        self.document: Described = client.get("/openapi.json").json
        self.operations = {one.described["operationId"]: one for one in operations(self.document)}
        self.ids = {
            "flag_key": "new-checkout",
            "user_id": "ada",
            "schedule_id": ID,
            "plan_id": ID,
            "hold_id": ID,
            "environment": "production",
            "plan_name": "checkout-launch",
        }

    def prepare(self) -> None:
        """Make what the operations need."""
        self.send("createFlag")
        self.send("setOverride")
        self.ids["schedule_id"] = self.send("createSchedule").json["id"]
        self.ids["plan_id"] = self.send("createPlan").json["plan"]["id"]
        self.ids["hold_id"] = self.send("holdFlag").json["id"]

    def send(self, name: str, **sent: Any) -> TestResponse:
        one = self.operations[name]
        if "requestBody" in one.described:
            body = sent.pop("body", self.example(name))
            sent |= {"data": json.dumps(body), "content_type": "application/json"}
        return self.client.open(one.path.format(**self.ids), method=one.method, **sent)

    def example(self, name: str) -> Any:
        """The body that the document has for an operation."""
        return deepcopy(self.operations[name].described["requestBody"]["content"]["application/json"]["example"])

    def bodies(self) -> Iterator[tuple[str, Described]]:
        """The operations that take a body, each with its schema."""
        for name, one in self.operations.items():
            if "requestBody" in one.described:
                yield name, one.described["requestBody"]["content"]["application/json"]["schema"]

    def parameters(self, place: str) -> Iterator[tuple[str, str, Described]]:
        """The parameters in the query or the headers: operation, name and schema."""
        for name, one in self.operations.items():
            for parameter in one.described.get("parameters", []):
                if parameter["in"] == place:
                    yield name, parameter["name"], parameter["schema"]

    def resolve(self, answer: Described) -> Described:
        """An answer, or the component that it refers to."""
        named: str | None = answer.get("$ref")
        return self.document["components"]["responses"][named.rpartition("/")[2]] if named else answer

    def _not_null(self, schema: Described) -> tuple[Described, bool]:
        """The schema without null, and whether it allows that."""
        if "anyOf" in schema:
            return self.contract.resolve(schema["anyOf"][0]), True
        nullable = isinstance(schema["type"], list)
        return schema | {"type": schema["type"][0]} if nullable else schema, nullable

    def refused(self, schema: Described, good: Any) -> Iterator[Any]:
        """Values that the schema does not allow, each `good` but for one thing."""
        schema = self.contract.resolve(schema)
        schema, nullable = self._not_null(schema)
        if not nullable:
            yield None
        yield from bad_values(schema)
        if good is None:
            return  # It may be left out, as in the example.
        if schema["type"] == "array":
            yield from ([*good[:-1], bad] for bad in self.refused(schema["items"], good[-1]))
            yield good * (schema["maxItems"] // len(good) + 1)
        if schema["type"] == "object":
            good = good or {}  # An example has one of two that exclude each other.
            yield good | {"unknown": 1}
            yield from (without(good, name) for name in schema.get("required", []))
            for name, below in schema["properties"].items():
                yield from (good | {name: bad} for bad in self.refused(below, good.get(name)))


def bad_values(schema: Described) -> Iterator[Any]:
    """Values that break one rule of a schema itself."""
    yield from OTHER_TYPES[schema["type"]]
    if "minimum" in schema:
        yield from (schema["minimum"] - 1, schema["maximum"] + 1)
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1)
    if schema.get("minLength"):
        yield ""
    if "pattern" in schema or "enum" in schema or "format" in schema:
        yield from ("", "no such thing \n")
    if schema.get("minProperties"):
        yield {}
    if schema.get("minItems"):
        yield []


def without(body: Described, name: str) -> Described:
    return {other: value for other, value in body.items() if other != name}


def settled(body: Any) -> Any:
    """An answer without what differs from one time to the next."""
    if isinstance(body, dict):
        return {name: settled(value) for name, value in body.items() if name not in VARYING}
    return [settled(one) for one in body] if isinstance(body, list) else body


@pytest.fixture
def sender(sqlite_url: sa.URL) -> Iterator[Sender]:
    """An admin of an app whose clock is the host's, as its document's is."""
    app = create_app(web_settings(sqlite_url))
    contract = Contract(app)
    client = app.test_client()
    with app.app_context():
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {make_token('ada', 'admin', timedelta(hours=1))}"
    yield Sender(client, contract)
    assert contract.breaches == []


def test_a_default_that_a_client_sends_is_not_refused(sender: Sender) -> None:
    sender.prepare()
    sent = 0

    for place, way in (("query", "query_string"), ("header", "headers")):
        for name, parameter, schema in sender.parameters(place):
            if "default" in schema:
                answer = sender.send(name, **{way: {parameter: schema["default"]}})
                assert answer.status_code not in {400, 412, 422}, (name, parameter, answer.text)
                sent += 1
    for name, schema in sender.bodies():
        properties = sender.contract.resolve(schema)["properties"]
        defaults = {field: below["default"] for field, below in properties.items() if "default" in below}
        answer = sender.send(name, body=sender.example(name) | defaults)
        assert answer.status_code != 400, (name, answer.text)
    assert sent > 20


def test_every_example_of_a_body_is_accepted(sender: Sender) -> None:
    # These need what the others make.
    later = ["editSchedule", "editPlan", "holdPlan", "releasePlan", "editHold", "releaseHold", "undoEntry", "undoPlan"]
    accepted = {name: sender.send(name).status_code for name, _ in sender.bodies() if name not in later}
    sender.ids["schedule_id"] = sender.send("createSchedule").json["id"]
    sender.ids["plan_id"] = sender.send("createPlan").json["plan"]["id"]
    sender.ids["hold_id"] = sender.send("holdFlag").json["id"]

    accepted |= {name: sender.send(name).status_code for name in later}

    assert len(accepted) == 20
    assert set(accepted.values()) == {200, 201}, accepted


def test_every_example_of_an_answer_is_as_its_schema_says(sender: Sender) -> None:
    for one in sender.operations.values():
        for status, answer in one.described["responses"].items():
            for media in sender.resolve(answer).get("content", {}).values():
                assert sender.contract.wrong(media["schema"], media["example"]) is None, (one, status)


def test_the_example_of_an_answer_is_what_the_example_of_a_request_is_answered(sender: Sender) -> None:
    story = [
        "createFlag", "readFlag", "listFlags", "evaluateFlag", "listFlagHistory", "previewSchedules", "createSchedules",
        "listAllSchedules", "readTimeline", "setOverride", "readOverride", "listOverrides", "checkHealth",
        "checkReadiness",
    ]  # fmt: skip

    for name in story:
        answer = sender.send(name)
        described = sender.operations[name].described["responses"][str(answer.status_code)]
        assert settled(answer.json) == settled(described["content"]["application/json"]["example"]), name


def test_a_body_that_its_schema_does_not_allow_is_refused(sender: Sender) -> None:
    sender.prepare()
    refused = 0

    for name, schema in sender.bodies():
        for body in sender.refused(schema, sender.example(name)):
            assert sender.send(name, body=body).status_code == 400, (name, body)
            refused += 1
    assert refused > 150


def test_a_query_that_its_schema_does_not_allow_is_refused_and_one_at_its_limits_is_not(sender: Sender) -> None:
    sender.prepare()

    for name, parameter, schema in sender.parameters("query"):
        for bad in bad_values(schema):
            if isinstance(bad, str) == (schema["type"] == "string"):
                answer = sender.send(name, query_string={parameter: bad})
                assert answer.status_code == 400, (name, parameter, bad)
        for good in (*schema.get("enum", []), *(schema[limit] for limit in ("minimum", "maximum") if limit in schema)):
            answer = sender.send(name, query_string={parameter: good})
            assert answer.status_code < 300, (name, parameter, good)


def test_a_method_that_a_path_has_not_is_told_which_it_has(sender: Sender) -> None:
    for path, item in sender.document["paths"].items():
        allowed = {method.upper() for method in item if method != "parameters"}
        allowed |= {"HEAD"} if "GET" in allowed else set()
        for method in sorted(METHODS - allowed):
            answer = sender.client.open(path.format(**sender.ids), method=method)
            assert (answer.status_code, answer.headers["Allow"]) == (405, ", ".join(sorted(allowed))), (method, path)
