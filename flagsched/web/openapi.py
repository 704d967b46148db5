"""The OpenAPI document, made from the schemas that requests and answers pass through, and a page to read it."""

import mimetypes
from datetime import UTC, datetime
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

STATIC = Path(__file__).parent / "static"
SWAGGER_UI = Path(flask_swagger_ui.__file__).parent / "dist"
ASSETS = {"docs.js": STATIC, "swagger-ui.css": SWAGGER_UI, "swagger-ui-bundle.js": SWAGGER_UI}
# Nothing from elsewhere, and no script in the page itself.
PAGE_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"
SETTINGS = {
    "API_TITLE": "flagsched",
    "API_VERSION": __version__,
    "OPENAPI_VERSION": "3.1.0",
}
blueprint = StrictBlueprint("openapi")


def describe(app: Flask, *described: Any) -> None:
    """Register these blueprints on `app`, and describe them in its document."""
    for name, value in SETTINGS.items():
        app.config.setdefault(name, value)
    contract = Contract(app)
    for one in described:
        contract.register_blueprint(one)
    app.extensions["flagsched_contract"] = contract.spec.to_dict()
    app.register_blueprint(blueprint)


@blueprint.get("/")
def front() -> Response:
    """Redirect to the page; relative, because a proxy may have removed a prefix."""
    answer = Response(status=HTTPStatus.FOUND, headers={"Location": "docs"})
    answer.headers.pop("Content-Type")  # It has no body.
    return answer


@blueprint.get("/openapi.json")
def document() -> Response:
    """The document."""
    today = datetime.now(UTC).date()
    return jsonify(with_examples(current_app.extensions["flagsched_contract"], today))


@blueprint.get("/docs")
def page() -> Response:
    """The page."""
    return _file(STATIC / "docs.html")


@blueprint.get("/docs/<name>")
def asset(name: str) -> Response:
    """What the page is made of."""
    if name not in ASSETS:
        raise NotFound
    return _file(ASSETS[name] / name)


def _file(path: Path) -> Response:
    answer = Response(path.read_bytes(), mimetype=mimetypes.guess_type(path.name)[0])
    answer.headers["Content-Security-Policy"] = PAGE_POLICY
    return answer
