"""Generated requests, valid and invalid, for every operation of the OpenAPI document."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.rows import count

TABLES = ("feature_flags", "feature_flag_schedules", "feature_flag_overrides")
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = settings().max_examples // 5


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
def test_every_request_is_answered_as_the_document_says_and_stores_nothing_but_by_a_201(
    app: Flask, admin: FlaskClient, token: Callable[..., str], engine: sa.Engine, mode: GenerationMode
) -> None:
    assert admin.post("/api/admin/flags", json={"key": "0"}).status_code == 201
    contract = schemathesis.openapi.from_wsgi("/openapi.json", app)
    headers = {"Authorization": f"Bearer {token()}"}
    statuses: dict[int, int] = {}

    def stored() -> list[int]:
        return [count(engine, table) for table in TABLES]

    def send(case: Any) -> None:
        if sum(statuses.values()) % 2 and "flag_key" in case.path_parameters:
            # Made-up keys name no flag: every other request goes to one that exists.
            admin.post("/api/admin/flags", json={"key": "0"})
            case.path_parameters["flag_key"] = "0"
        before = stored()
        answer = case.call(headers=headers)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        assert answer.status_code < 500
        # Of all operations, one deletes: it may meet a user whom another has set apart.
        removed = answer.status_code == 204 and "user_id" in case.path_parameters
        assert stored() == before or answer.status_code == 201 or removed
        case.validate_response(answer, checks=CHECKS)

    for found in contract.get_all_operations():
        operation = found.ok()
        fuzz = given(case=operation.as_strategy(generation_mode=mode))(send)
        # Of what has no parameters, nothing can be wrong.
        with suppress(Unsatisfiable):
            settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))(
                fuzz
            )()

    assert sum(statuses.values()) > 7.5 * EXAMPLES
