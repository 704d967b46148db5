"""Pages from templates, with links that hold below whatever prefix a proxy has removed."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from flask import Response, g, request
from jinja2 import Environment, PackageLoader, StrictUndefined

from flagsched.domain.flags import DEFAULT_ENVIRONMENT, ENVIRONMENT, FlagName
from flagsched.domain.instants import rfc3339
from flagsched.usecases.flags import Surroundings, read_surroundings
from flagsched.version import __version__
from flagsched.web.console.instants import PersonalTime, personal_time
from flagsched.web.console.sentences import describe_change, describe_state
from flagsched.web.console.session import FORM_FIELD, form_key, person
from flagsched.web.service import store

PREFIX = "/console"
TEMPLATES = Environment(
    loader=PackageLoader("flagsched.web.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["counted"] = lambda number, noun: f"{number} {noun}{'' if number == 1 else 's'}"


def environment() -> str:
    """The environment that the query names, or `production`."""
    named = request.args.get("environment", DEFAULT_ENVIRONMENT)
    return named if ENVIRONMENT.fullmatch(named) else DEFAULT_ENVIRONMENT


def flag_name(flag_key: str) -> FlagName:
    """The flag that path and query name; FlagMissing for what none can be."""
    return FlagName.asked(environment(), flag_key)


def now() -> datetime:
    """The database's clock, as it was when this request first read it."""
    return _seen().at


def time() -> PersonalTime:
    """Instants as the person reads them."""
    return personal_time(now())


def environments() -> list[str]:
    """All environments by name, the default and the current one among them."""
    return sorted({*_seen().environments, DEFAULT_ENVIRONMENT, environment()})


def page(template: str, status: int = HTTPStatus.OK, **values: Any) -> Response:
    """A page for whoever is signed in, or a part of one if the template is that."""
    return plain_page(template, status, time(), **({"environments": environments()} | values))


def plain_page(template: str, status: int, shown: PersonalTime | None = None, **values: Any) -> Response:
    """A page that needs nothing of the database."""
    html = TEMPLATES.get_template(template).render(
        person=person(),
        time=shown or personal_time(datetime.now(UTC)),
        root=_root(),
        current=_current(),
        link=link,
        form_field=FORM_FIELD,
        form_key=form_key(),
        version=__version__,
        rfc3339=rfc3339,
        state_text=describe_state,
        change_text=describe_change,
        **({"environment": environment()} | values),
    )
    return Response(html, status, mimetype="text/html")


def _seen() -> Surroundings:
    if "flagsched_surroundings" not in g:
        g.flagsched_surroundings = read_surroundings(store=store())
    seen: Surroundings = g.flagsched_surroundings
    return seen


def link(path: str, **query: Any) -> str:
    """A link that is relative to the console's first page, as all are: `<base>` says where that is."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path or './'}?{urlencode(given)}" if given else path or "./"


def redirect(path: str, **query: Any) -> Response:
    """Go on with another page, after a form was accepted."""
    return Response(status=HTTPStatus.SEE_OTHER, headers={"Location": _root() + link(path, **query).removeprefix("./")})


def _current() -> str:
    """This page, relative to the first."""
    query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
    return "/".join(map(quote, _below())) + query


def _root() -> str:
    """The console's first page, relative to the page of this request."""
    return "../" * (len(_below()) - 1) or "./"


def _below() -> list[str]:
    """The path of this request below the first page, in its parts."""
    rule = request.url_rule.rule if request.url_rule else ""
    above = rule.rpartition(f"{PREFIX}/")[0] + f"{PREFIX}/"
    return request.path.split("/")[above.count("/") :]
