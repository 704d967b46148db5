"""The blueprints of all routes but OFREP's: their callers, errors and headers are parameters."""

from collections.abc import Callable, Mapping
from functools import partial, wraps
from http import HTTPStatus
from typing import Any

from flask import Response, request
from flask.sansio.scaffold import Scaffold
from flask_smorest import Blueprint
from marshmallow import Schema

from flagsched.domain.flags import FlagName
from flagsched.web.access_log import begin_request, log_request
from flagsched.web.auth import READS, Authentication, require_role
from flagsched.web.errors import answer_errors
from flagsched.web.headers import SECURITY_HEADERS, add_headers
from flagsched.web.parser import StrictParser
from flagsched.web.roles import Role
from flagsched.web.schemas.flags import EnvironmentQuery
from flagsched.web.schemas.headers import response_headers
from flagsched.web.service import service
from flagsched.web.unrouted import refuse_extra_slashes

View = Callable[..., Any]
Decorator = Callable[[View], View]
REQUIRED_ROLE = "x-required-role"


class StrictBlueprint(Blueprint):
    """A blueprint that parses its arguments strictly, and knows no method but those of its routes.

    Without `authentication` it is open to all. `errors` registers the handlers of its errors, in the format of its
    choice. `headers` is its content policy: what each of its responses gets unless it has that header already.
    """

    ARGUMENTS_PARSER = StrictParser()

    def __init__(
        self,
        name: str,
        description: str = "",
        *,
        url_prefix: str | None = None,
        authentication: Authentication | None = None,
        errors: Callable[[Scaffold], None] = answer_errors,
        headers: Mapping[str, str] = SECURITY_HEADERS,
    ) -> None:
        super().__init__(name, __name__, url_prefix=url_prefix, description=description)
        self._refusals = authentication.refusals if authentication else frozenset()
        self._security = list(authentication.security) if authentication else []
        self.before_request(begin_request)
        self.before_request(refuse_extra_slashes)
        if authentication:
            self.before_request(authentication.check)
        # Flask runs these in reverse.
        self.after_request(log_request)
        self.after_request(partial(add_headers, policy=headers))
        self._prepare_doc_cbks.append(self._describe)
        errors(self)

    def add_url_rule(self, rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any) -> None:
        """Add a route without Flask's automatic OPTIONS, whose answer is HTML; describe what the route may refuse."""
        view_func.provide_automatic_options = False
        described = view_func.__dict__.setdefault("_apidoc", {})
        described.setdefault("manual_doc", {})["operationId"] = _camel(endpoint or view_func.__name__)
        responses = described.setdefault("response", {}).setdefault("responses", {})
        for status in self._refusals_of(rule, described):
            responses.setdefault(status.value, []).append(status.name)
        super().add_url_rule(rule, endpoint, view_func, **options)

    def _refusals_of(self, rule: str, described: dict[str, Any]) -> set[HTTPStatus]:
        places = {parameter["in"] for parameter in described.get("arguments", {}).get("parameters", [])}
        refusals = set(self._refusals)
        if "<" in rule:
            refusals.add(HTTPStatus.NOT_FOUND)
        if "json" in places:
            refusals |= {HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE}
        return refusals

    def _describe(self, doc: dict[str, Any], info: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Add to an operation who may call it, and the header that every response has."""
        info["docstring"]["summary"] = info["docstring"]["summary"].rstrip(".")
        responses = dict(sorted(doc["responses"].items()))
        for response in responses.values():
            if isinstance(response, dict):
                response["headers"] = response_headers("X-Request-Id") | response.get("headers", {})
        return doc | {"responses": responses, "security": self._security}

    def loads(
        self, query: type[Schema], *, body: type[Schema] | None = None, headers: type[Schema] | None = None
    ) -> Decorator:
        """Give the view what `body` and `headers` load, and each field of `query` by its name."""

        def decorate(view: View) -> View:
            if headers:
                view = self.arguments(headers, location="headers")(view)
            view = self.arguments(query, location="query", as_kwargs=True)(view)
            if body:
                view = self.arguments(body)(view)
            return view

        return decorate

    def on_flag(
        self,
        query: type[Schema] = EnvironmentQuery,
        *,
        body: type[Schema] | None = None,
        headers: type[Schema] | None = None,
    ) -> Decorator:
        """As `loads`, for a route on one flag: the view's first argument is the FlagName of path and query."""

        def decorate(view: View) -> View:
            @wraps(view)
            def with_name(*loaded: Any, environment: str, flag_key: str, **others: Any) -> Any:
                return view(FlagName.asked(environment, flag_key), *loaded, **others)

            return self.loads(query, body=body, headers=headers)(with_name)

        return decorate

    def creates(self, schema: type[Schema], *headers: str) -> Decorator:
        """Describe the responses of a route that creates something, once for each Idempotency-Key."""

        def decorate(view: View) -> View:
            view = self.response(
                HTTPStatus.CREATED, schema, headers=response_headers(*headers, "Idempotency-Replayed")
            )(view)
            for status in (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY):
                view = self.alt_response(status, status.name)(view)
            return view

        return decorate


class RoleBlueprint(StrictBlueprint):
    """A blueprint for callers with a role. `@blueprint.post(rule, role=Role.OPERATOR)` says who may use a route."""

    def __init__(self, name: str, description: str = "", **options: Any) -> None:
        super().__init__(name, description, **options)
        self.after_request(_refresh_after_write)

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Any = None,
        *,
        role: Role | None = None,
        **options: Any,
    ) -> None:
        """Add a route that needs `role`, or one above it; by default `viewer` for a GET, and `admin` for all others."""
        least = role or (Role.VIEWER if options.get("methods") == ["GET"] else Role.ADMIN)
        documented = self.doc(**{REQUIRED_ROLE: least.value})(view_func)
        super().add_url_rule(rule, endpoint, _for_role(least, documented), **options)


def _for_role(role: Role, view: View) -> View:
    @wraps(view)
    def for_role(*args: Any, **kwargs: Any) -> Any:
        # Before the view's own decorators read the body.
        require_role(role)
        return view(*args, **kwargs)

    return for_role


def _refresh_after_write(response: Response) -> Response:
    # A caller who writes, and then reads from this process, sees the change soon even where nothing notifies it.
    if request.method not in READS and response.status_code < HTTPStatus.BAD_REQUEST:
        service().refresher.wake()
    return response


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
