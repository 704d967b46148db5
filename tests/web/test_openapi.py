"""The OpenAPI document, the page that shows it, and the schemas for Python clients."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from marshmallow import ValidationError
from openapi_spec_validator import validate

from flagsched import schemas
from flagsched.bootstrap.web import create_app
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.schedules import PlannedChange
from flagsched.domain.updates import Updates
from flagsched.web.auth import make_token
from flagsched.web.context import HEADERS
from tests.builders import after
from tests.conftest import web_settings
from tests.openapi import UNDESCRIBED, Contract, described


@pytest.fixture
def document(anyone: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = anyone.get("/openapi.json").json
    return found


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    validate(document)

    assert document["openapi"] == "3.1.0"
    assert document["info"]["title"] == "flagsched"


def test_every_route_is_described(app: Flask, document: dict[str, Any]) -> None:
    routes = {
        (described(rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint not in UNDESCRIBED and not rule.rule.startswith("/ofrep/")  # It has a document of its own.
    }

    found = {(path, method) for path, item in document["paths"].items() for method in item if method != "parameters"}

    assert found == routes


def test_the_bodies_have_the_names_that_clients_know(document: dict[str, Any]) -> None:
    bulk = document["paths"]["/api/admin/flags/{flag_key}/schedule/bulk"]["post"]

    def name(content: dict[str, Any]) -> str:
        return str(content["application/json"]["schema"]["$ref"].rpartition("/")[2])

    assert name(bulk["requestBody"]["content"]) == "BulkCreateScheduleRequest"
    assert name(bulk["responses"]["201"]["content"]) == "BulkScheduleResponse"
    batch = document["components"]["schemas"]["BulkCreateScheduleRequest"]["properties"]["schedules"]
    assert batch == {
        "type": "array", "minItems": 1, "maxItems": 50, "items": {"$ref": "#/components/schemas/CreateScheduleRequest"},
    }  # fmt: skip


def test_only_admin_operations_ask_for_a_token(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                assert ("security" in operation) == path.startswith("/api/admin"), (method, path)
                assert ("401" in operation["responses"]) == path.startswith("/api/"), (method, path)


def test_python_clients_use_the_servers_own_schemas(document: dict[str, Any]) -> None:
    for name in schemas.__all__:
        fields = getattr(schemas, name)().fields.values()
        assert document["components"]["schemas"][name]["properties"].keys() == {f.data_key or f.name for f in fields}
    asked = {"scheduledAt": after(5).isoformat(), "updates": {"enabled": True}}
    assert schemas.CreateScheduleRequest().load(asked) == PlannedChange(after(5), Updates(enabled=True))
    with pytest.raises(ValidationError):
        schemas.BulkCreateScheduleRequest().load({"schedules": []})


def test_the_check_of_answers_finds_what_is_not_as_described(url: sa.URL, store: SqlStore) -> None:
    app = create_app(web_settings(url), store=store)
    contract = Contract(app)
    described = contract.document["paths"]
    described["/healthz"]["get"]["responses"].pop("200")
    contract.document["components"]["schemas"]["FlagListView"]["properties"]["nextCursor"]["type"] = "integer"
    client = app.test_client()
    with app.app_context():
        token = make_token("ada", "admin", timedelta(hours=1))

    client.get("/healthz")
    client.get("/api/admin/flags", headers={"Authorization": f"Bearer {token}"})
    client.get("/readyz")

    assert contract.breaches == [
        "GET /healthz 200: the status is not described",
        "GET /api/admin/flags 200: $.nextCursor: None is not of type 'integer'",
    ]
    assert contract.checked == 3


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_address_of_the_server_alone_leads_to_the_page(anyone: FlaskClient, method: str) -> None:
    answer = anyone.open("/", method=method, headers={"X-Request-Id": "mine"})

    assert (answer.status_code, answer.data) == (302, b"")
    # Relative, so that it is right below a prefix that a proxy takes away.
    assert answer.headers["Location"] == "docs"
    assert "Content-Type" not in answer.headers
    assert answer.headers["X-Request-Id"] == "mine"
    assert set(answer.headers.items()) >= set(HEADERS.items())
    assert anyone.open("/", method=method, follow_redirects=True).request.path == "/docs"


def test_the_page_loads_nothing_from_elsewhere_and_has_no_script_of_its_own(anyone: FlaskClient) -> None:
    page = anyone.get("/docs")

    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert "//" not in page.text.replace("<!doctype html>", "")
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "docs.js"):
        assert f"docs/{name}" in page.text
        assert anyone.get(f"/docs/{name}").status_code == 200


@pytest.mark.parametrize("name", ["none.js", "..%2fopenapi.py", "index.html", "docs.html%00"])
def test_the_page_gives_away_no_other_file(anyone: FlaskClient, name: str) -> None:
    assert anyone.get(f"/docs/{name}").status_code == 404
