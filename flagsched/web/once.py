"""Requests with an Idempotency-Key: what they are known by, and how they are answered again."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from flask import Response, jsonify, request

from flagsched.domain.idempotency import Answer, RequestKey
from flagsched.usecases.repeating import Once, Repeated
from flagsched.web.context import caller
from flagsched.web.parsing import read_body

Made = TypeVar("Made")
Headers = Callable[[Made], Mapping[str, str]]


def no_headers(made: object) -> Mapping[str, str]:
    """None but those that every answer has."""
    del made
    return {}


def once(key: str | None, dump: Callable[[Made], Any], headers: Headers[Made] = no_headers) -> Once[Made] | None:
    """This request as one to have effect once, if it carries a key; what it makes is answered as `dump` gives it."""
    if key is None:
        return None
    said = (request.method.encode(), request.path.encode(), request.query_string, read_body(request))

    def answer(made: Made) -> Answer:
        body = jsonify(dump(made)).get_data(as_text=True)
        return Answer(HTTPStatus.CREATED, headers(made), body)

    return Once(RequestKey.of(caller().name, key, *said), answer)


def answer_again(repeated: Repeated) -> Response:
    """The answer that was given before."""
    kept = repeated.answer
    answer = Response(kept.body, kept.status, dict(kept.headers), mimetype="application/json")
    answer.headers["Idempotency-Replayed"] = "true"
    return answer
