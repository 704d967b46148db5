"""The OpenAPI document, the page that shows it, and the schemas for Python clients."""

import json
from copy import deepcopy
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
from flagsched.web.headers import SECURITY_HEADERS
from flagsched.web.openapi import contract_of
from tests.builders import after
from tests.openapi import UNDESCRIBED, Contract, described, operations
from tests.services import web_settings


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
        # OFREP has a document of its own, and the console's pages are for people.
        if rule.endpoint not in UNDESCRIBED and not rule.rule.startswith(("/ofrep/", "/console"))
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
    security: dict[str, list[Any]] = {
        "/api/admin": [{"bearer": []}],
        "/api/config": [{}, {"bearer": []}, {"apiKey": []}],
    }

    for one in operations(document):
        prefix = "/".join(one.path.split("/")[:3])
        assert one.described["security"] == security.get(prefix, []), one
        assert ("401" in one.described["responses"]) == (prefix in security), one


def test_a_client_is_generated_with_the_same_names_in_every_release(document: dict[str, Any]) -> None:
    named = {one.described["operationId"]: f"{one.method} {one.path}" for one in operations(document)}

    assert named == {
        "createFlag": "POST /api/admin/flags",
        "listFlags": "GET /api/admin/flags",
        "readFlag": "GET /api/admin/flags/{flag_key}",
        "editFlag": "PATCH /api/admin/flags/{flag_key}",
        "editFlagByPost": "POST /api/admin/flags/{flag_key}",
        "archiveFlag": "DELETE /api/admin/flags/{flag_key}",
        "createSchedule": "POST /api/admin/flags/{flag_key}/schedule",
        "createSchedules": "POST /api/admin/flags/{flag_key}/schedule/bulk",
        "previewSchedules": "POST /api/admin/flags/{flag_key}/schedule/preview",
        "listSchedules": "GET /api/admin/flags/{flag_key}/schedule",
        "listAllSchedules": "GET /api/admin/schedules",
        "readSchedule": "GET /api/admin/flags/{flag_key}/schedule/{schedule_id}",
        "editSchedule": "PATCH /api/admin/flags/{flag_key}/schedule/{schedule_id}",
        "cancelSchedule": "DELETE /api/admin/flags/{flag_key}/schedule/{schedule_id}",
        "createPlan": "POST /api/admin/plans",
        "previewPlan": "POST /api/admin/plans/preview",
        "listPlans": "GET /api/admin/plans",
        "holdFlag": "POST /api/admin/flags/{flag_key}/holds",
        "holdEnvironment": "POST /api/admin/environments/{environment}/holds",
        "holdPlan": "POST /api/admin/plans/{plan_id}/holds",
        "releasePlan": "POST /api/admin/plans/{plan_id}/release",
        "listHolds": "GET /api/admin/holds",
        "readHold": "GET /api/admin/holds/{hold_id}",
        "editHold": "PATCH /api/admin/holds/{hold_id}",
        "releaseHold": "POST /api/admin/holds/{hold_id}/release",
        "readPlan": "GET /api/admin/plans/{plan_id}",
        "editPlan": "PATCH /api/admin/plans/{plan_id}",
        "endPlan": "DELETE /api/admin/plans/{plan_id}",
        "undoPlan": "POST /api/admin/plans/{plan_id}/undo",
        "undoEntry": "POST /api/admin/flags/{flag_key}/undo",
        "applyNamedPlan": "PUT /api/admin/named-plans/{plan_name}",
        "readTimeline": "GET /api/admin/flags/{flag_key}/timeline",
        "setOverride": "POST /api/admin/flags/{flag_key}/users",
        "listOverrides": "GET /api/admin/flags/{flag_key}/users",
        "readOverride": "GET /api/admin/flags/{flag_key}/users/{user_id}",
        "removeOverride": "DELETE /api/admin/flags/{flag_key}/users/{user_id}",
        "listHistory": "GET /api/admin/history",
        "listFlagHistory": "GET /api/admin/flags/{flag_key}/history",
        "evaluateFlags": "GET /api/config/flags",
        "evaluateFlag": "GET /api/config/flags/{flag_key}",
        "checkHealth": "GET /healthz",
        "checkReadiness": "GET /readyz",
    }
    assert [one.described["operationId"] for one in operations(document) if one.described.get("deprecated")] == [
        "editFlagByPost"
    ]


def test_the_document_says_what_it_is_and_whose(document: dict[str, Any]) -> None:
    tags = {tag for one in operations(document) for tag in one.described["tags"]}

    assert document["info"]["license"] == {"name": "MIT", "identifier": "MIT"}
    assert "Instants" in document["info"]["description"]
    # Relative to the document, which is right below a prefix too.
    assert [server["url"] for server in document["servers"]] == ["."]
    assert {tag["name"] for tag in document["tags"] if tag["description"]} == tags
    for one in operations(document):
        assert one.described["summary"], one
        assert one.described["description"], one


def test_the_document_has_no_component_that_nothing_refers_to(document: dict[str, Any]) -> None:
    text = json.dumps(document)

    for kind in document["components"].keys() - {"securitySchemes"}:
        for name in document["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in text


def test_the_details_of_an_error_may_be_a_tree_a_list_or_nothing(document: dict[str, Any]) -> None:
    details = document["components"]["schemas"]["ErrorView"]["properties"]["details"]

    assert details["anyOf"] == [
        {"type": "object", "additionalProperties": True},
        {"type": "array", "items": {"type": "string"}},
        {"type": "null"},
    ]


def test_a_body_that_must_set_something_says_so(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    for name in ("UpdatesBody", "EditFlagRequest", "EditScheduleRequest"):
        assert schemas[name]["minProperties"] == 1, name


def test_the_flags_of_an_application_are_a_map_of_booleans(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"]["FlagValuesView"]["additionalProperties"] == {"type": "boolean"}


def test_every_answer_describes_its_headers(document: dict[str, Any]) -> None:
    described: dict[str, set[str]] = {}
    for one in operations(document):
        for status, answer in one.described["responses"].items():
            component = answer.get("$ref", "").rpartition("/")[2]
            headers = (document["components"]["responses"][component] if component else answer)["headers"]
            described[f"{one.described['operationId']} {status}"] = headers.keys() - {"X-Request-Id"}
            assert "X-Request-Id" in headers

    fresh = {"Cache-Control", "ETag", "Flagsched-Snapshot-Age", "Vary"}
    assert described["createFlag 201"] == {"Location", "ETag", "Idempotency-Replayed"}
    assert described["readFlag 200"] == described["editFlag 200"] == {"ETag"}
    assert described["createSchedule 201"] == described["createSchedules 201"] == {"Idempotency-Replayed"}
    assert described["listSchedules 200"] == {"Link"}
    assert described["evaluateFlags 200"] == described["evaluateFlags 304"] == described["evaluateFlag 304"] == fresh
    assert described["createFlag 401"] == {"WWW-Authenticate"}
    assert described["createFlag 409"] == described["createFlag 429"] == described["createFlag 503"] == {"Retry-After"}


def test_whoever_may_be_told_304_finds_the_header_to_ask_by(document: dict[str, Any]) -> None:
    for one in operations(document):
        headers = {
            parameter["name"] for parameter in one.described.get("parameters", []) if parameter["in"] == "header"
        }
        assert ("If-None-Match" in headers) == ("304" in one.described["responses"]), one


def test_python_clients_use_the_servers_own_schemas(document: dict[str, Any]) -> None:
    for name in schemas.__all__:
        fields = getattr(schemas, name)().fields.values()
        assert document["components"]["schemas"][name]["properties"].keys() == {f.data_key or f.name for f in fields}
    body = {"scheduledAt": after(5).isoformat(), "updates": {"enabled": True}}
    assert schemas.CreateScheduleRequest().load(body) == PlannedChange(after(5), Updates(enabled=True))
    with pytest.raises(ValidationError):
        schemas.BulkCreateScheduleRequest().load({"schedules": []})


def test_the_check_of_answers_finds_what_is_not_as_described(url: sa.URL, store: SqlStore) -> None:
    app = create_app(web_settings(url), store=store)
    contract = Contract(app, deepcopy(contract_of(app)))
    described = contract.document["paths"]
    described["/healthz"]["get"]["responses"].pop("200")
    described["/api/admin/history"]["get"]["responses"]["200"]["headers"] |= {
        "Link": {"required": True, "schema": {"type": "string"}}
    }
    described["/api/config/flags"]["get"]["responses"]["200"]["headers"].pop("ETag")
    contract.document["components"]["schemas"]["FlagListView"]["properties"]["nextCursor"]["type"] = "integer"
    client = app.test_client()
    with app.app_context():
        token = make_token("ada", "admin", timedelta(hours=1))

    shown = {"Authorization": f"Bearer {token}"}
    client.get("/healthz")
    client.get("/api/admin/flags", headers=shown)
    client.get("/api/admin/history", headers=shown)
    client.get("/api/config/flags")
    client.get("/readyz")

    assert contract.breaches == [
        "GET /healthz 200: the status is not described",
        "GET /api/admin/flags 200: $.nextCursor: None is not of type 'integer'",
        "GET /api/admin/history 200: the header Link is missing",
        "GET /api/config/flags 200: the header ETag is not described",
    ]
    assert contract.checked == 5


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_address_of_the_server_alone_leads_to_the_page(anyone: FlaskClient, method: str) -> None:
    answer = anyone.open("/", method=method, headers={"X-Request-Id": "mine"})

    assert (answer.status_code, answer.data) == (302, b"")
    # Relative, so that it is right below a prefix that a proxy takes away.
    assert answer.headers["Location"] == "docs"
    assert "Content-Type" not in answer.headers
    assert answer.headers["X-Request-Id"] == "mine"
    assert set(answer.headers.items()) >= set(SECURITY_HEADERS.items())
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
