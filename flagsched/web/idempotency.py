"""Requests with an Idempotency-Key: how they are identified, and the response to a repetition."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from flask import Response, jsonify, request

from flagsched.domain.idempotency import IdempotencyKey, StoredResponse
from flagsched.usecases.idempotency import IdempotentRequest, Replayed
from flagsched.web.body import read_body
from flagsched.web.caller import caller

Made = TypeVar("Made")
Headers = Callable[[Made], Mapping[str, str]]


def no_headers(_: object) -> Mapping[str, str]:
    """None beside those of every response."""
    return {}


def idempotent_request(
    key: str | None,
    dump: Callable[[Made], Any],
    headers: Headers[Made] = no_headers,
    status: HTTPStatus = HTTPStatus.CREATED,
) -> IdempotentRequest[Made] | None:
    """This request with its Idempotency-Key, if it has one; `dump` and `headers` make the response to store."""
    if key is None:
        return None
    parts = (request.method.encode(), request.path.encode(), request.query_string, read_body(request))

    def respond(made: Made) -> StoredResponse:
        body = jsonify(dump(made)).get_data(as_text=True)
        return StoredResponse(status, headers(made), body)

    return IdempotentRequest(IdempotencyKey.of(caller().name, key, *parts), respond)


def replay_response(replayed: Replayed) -> Response:
    """The response to the first request with this key."""
    stored = replayed.response
    response = Response(stored.body, stored.status, dict(stored.headers), mimetype="application/json")
    response.headers["Idempotency-Replayed"] = "true"
    return response
