"""The blueprints that routes hang on: strict parsing for all, admins only for the admin API."""

from http import HTTPStatus
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from flagsched.domain.flags import FlagName
from flagsched.web.access_log import begin_request, log_request
from flagsched.web.auth import READS, require_admin
from flagsched.web.errors import answer_errors
from flagsched.web.headers import add_headers
from flagsched.web.parser import StrictParser
from flagsched.web.schemas.headers import sent
from flagsched.web.service import service
from flagsched.web.unrouted import refuse_extra_slashes


class StrictBlueprint(Blueprint):
    """A blueprint whose arguments are read strictly, and which answers to the methods that it names alone."""

    ARGUMENTS_PARSER = StrictParser()
    REFUSALS: frozenset[HTTPStatus] = frozenset()
    """What any of its routes may answer besides what follows from the route itself."""
    SECURITY: tuple[dict[str, list[str]], ...] = ()
    """What callers must show, in the document's terms."""

    def __init__(self, name: str, description: str = "", *, url_prefix: str | None = None) -> None:
        super().__init__(name, __name__, url_prefix=url_prefix, description=description)
        self.before_request(begin_request)
        self.before_request(refuse_extra_slashes)
        # Flask runs these in reverse.
        self.after_request(log_request)
        self.after_request(add_headers)
        self._prepare_doc_cbks.append(self._describe)
        answer_errors(self)

    def add_url_rule(self, rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any) -> None:
        """Without the OPTIONS that Flask adds by itself, and answers in HTML; with its refusals in the document."""
        view_func.provide_automatic_options = False
        described = view_func.__dict__.setdefault("_apidoc", {})
        described.setdefault("manual_doc", {})["operationId"] = _camel(endpoint or view_func.__name__)
        responses = described.setdefault("response", {}).setdefault("responses", {})
        for status in self._refusals(rule, described):
            responses.setdefault(status.value, []).append(status.name)
        super().add_url_rule(rule, endpoint, view_func, **options)

    def _refusals(self, rule: str, described: dict[str, Any]) -> set[HTTPStatus]:
        places = {parameter["in"] for parameter in described.get("arguments", {}).get("parameters", [])}
        refusals = set(self.REFUSALS)
        if "<" in rule:
            refusals.add(HTTPStatus.NOT_FOUND)
        if "json" in places:
            refusals |= {HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE}
        return refusals

    def _describe(self, doc: dict[str, Any], info: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Say who may ask, and name the header that every answer has."""
        info["docstring"]["summary"] = info["docstring"]["summary"].rstrip(".")
        answers = dict(sorted(doc["responses"].items()))
        for answer in answers.values():
            if isinstance(answer, dict):
                answer["headers"] = sent("X-Request-Id") | answer.get("headers", {})
        return doc | {"responses": answers, "security": list(self.SECURITY)}

    def creates(self, view_func: Any) -> Any:
        """Describe what a route may answer that creates something, at most once for each Idempotency-Key."""
        for status in (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY):
            view_func = self.alt_response(status, status.name)(view_func)
        return view_func


class AdminBlueprint(StrictBlueprint):
    """A blueprint under /api/admin whose every route, present and to come, is for admins only."""

    REFUSALS = frozenset(
        {
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        }
    )
    SECURITY = ({"bearer": []},)

    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, description, url_prefix="/api/admin")
        self.before_request(require_admin)
        self.after_request(_look_for_changes)


def _look_for_changes(answer: Response) -> Response:
    # Whoever changes something and asks the same process soon after finds it changed, also where nobody is notified.
    if request.method not in READS and answer.status_code < HTTPStatus.BAD_REQUEST:
        service().refresher.wake()
    return answer


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def named(query: dict[str, str], flag_key: str) -> FlagName:
    """Which flag a path and its `?environment=` name."""
    return FlagName.asked(query["environment"], flag_key)
