"""Every answer that a real server gives to a client of these tests is as its OpenAPI document says."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from flagsched.bootstrap.web import create_app
from tests.openapi import Contract
from tests.services import web_settings


@pytest.fixture(autouse=True)
def contract(monkeypatch: pytest.MonkeyPatch) -> Iterator[Contract]:
    contract = Contract(create_app(web_settings(sa.make_url("sqlite:///nowhere.db"))))
    send = requests.Session.send

    def sent(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        answer = send(session, request, **options)
        contract.check_exchange(
            str(request.method), str(request.url), answer.status_code, answer.headers, answer.content
        )
        return answer

    monkeypatch.setattr(requests.Session, "send", sent)
    yield contract
    assert contract.breaches == []
