"""The OpenAPI document, made from the schemas of requests and responses, and a page to read it."""

import mimetypes
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import flask_swagger_ui
from flask import Flask, Response, current_app, jsonify
from werkzeug.exceptions import NotFound

from flagsched.version import __version__
from flagsched.web.blueprint import StrictBlueprint
from flagsched.web.contract import Contract
from flagsched.web.examples import with_examples
from flagsched.web.headers import SECURITY_HEADERS

STATIC = Path(__file__).parent / "static"
SWAGGER_UI = Path(flask_swagger_ui.__file__).parent / "dist"
ASSETS = {"docs.js": STATIC, "swagger-ui.css": SWAGGER_UI, "swagger-ui-bundle.js": SWAGGER_UI}
# Nothing from other hosts, and no inline script.
PAGE_HEADERS = SECURITY_HEADERS | {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"
}
SETTINGS = {
    "API_TITLE": "flagsched",
    "API_VERSION": __version__,
    "OPENAPI_VERSION": "3.1.0",
}
DESCRIBED = "flagsched_described"
blueprint = StrictBlueprint("openapi")
pages = StrictBlueprint("docs", headers=PAGE_HEADERS)


def describe(app: Flask, *blueprints: StrictBlueprint) -> None:
    """Register these blueprints on `app`, and describe them in its document."""
    for one in (*blueprints, blueprint, pages):
        app.register_blueprint(one)
    app.extensions[DESCRIBED] = blueprints


def contract_of(app: Flask) -> dict[str, Any]:
    """The app's document without examples."""
    return _contract(app.extensions[DESCRIBED])


@cache
def _contract(blueprints: tuple[StrictBlueprint, ...]) -> dict[str, Any]:
    # For an app of its own and at the first request: it takes as long as all the rest of a start.
    app = Flask(__name__, static_folder=None)
    app.config.update(SETTINGS)
    contract = Contract(app)
    for described in blueprints:
        contract.register_blueprint(described)
    document: dict[str, Any] = contract.spec.to_dict()
    return document


@blueprint.get("/")
def front() -> Response:
    """Redirect to the page; relative, because a proxy may have removed a prefix."""
    response = Response(status=HTTPStatus.FOUND, headers={"Location": "docs"})
    response.headers.pop("Content-Type")  # It has no body.
    return response


@blueprint.get("/openapi.json")
def document() -> Response:
    today = datetime.now(UTC).date()
    return jsonify(with_examples(contract_of(current_app), today))


@pages.get("/docs")
def page() -> Response:
    return _file(STATIC / "docs.html")


@pages.get("/docs/<name>")
def asset(name: str) -> Response:
    """The page's scripts and styles."""
    if name not in ASSETS:
        raise NotFound
    return _file(ASSETS[name] / name)


def _file(path: Path) -> Response:
    return Response(path.read_bytes(), mimetype=mimetypes.guess_type(path.name)[0])
