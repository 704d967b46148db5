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


def no_headers(made: object) -> Mapping[str, str]:
    """None but those that every answer has."""
    del made
    return {}


def idempotent_request(
    key: str | None, dump: Callable[[Made], Any], headers: Headers[Made] = no_headers
) -> IdempotentRequest[Made] | None:
    """This request as one to have effect once, if it carries a key; what it makes is answered as `dump` gives it."""
    if key is None:
        return None
    said = (request.method.encode(), request.path.encode(), request.query_string, read_body(request))

    def answer(made: Made) -> StoredResponse:
        body = jsonify(dump(made)).get_data(as_text=True)
        return StoredResponse(HTTPStatus.CREATED, headers(made), body)

    return IdempotentRequest(IdempotencyKey.of(caller().name, key, *said), answer)


def replay_response(replayed: Replayed) -> Response:
    """The answer that was given before."""
    kept = replayed.answer
    answer = Response(kept.body, kept.status, dict(kept.headers), mimetype="application/json")
    answer.headers["Idempotency-Replayed"] = "true"
    return answer
