"""Sign in, sign out, and the files that pages need."""

import mimetypes
import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from importlib import resources
from typing import Any

import jwt
from flask import Response, request
from flask_jwt_extended import create_refresh_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from werkzeug.exceptions import NotFound

from flagsched.domain.errors import FlagschedError, Unauthenticated
from flagsched.domain.idempotency import IdempotencyKey, StoredResponse
from flagsched.usecases.idempotency import IdempotentRequest, Replayed, use_once
from flagsched.web.auth import make_token, require_token
from flagsched.web.console.blueprint import DoorBlueprint
from flagsched.web.console.pages import plain_page, redirect
from flagsched.web.console.session import SESSION, present_token, set_cookie
from flagsched.web.errors import log_refusal, status_of
from flagsched.web.roles import Role
from flagsched.web.service import service, store
from flagsched.web.tokens.claims import roles_of, with_role

SESSION_LIFE = timedelta(hours=12)
"""How long a person stays signed in by a link."""
LINK_LIFE = timedelta(minutes=10)
USED = "This link was used already. Make another with: flagsched token --link"
BAD_LINK = "This link is not valid, or no longer. Make another with: flagsched token --link"
# A page of ours, relative to the first.
OURS = re.compile(r"(?!/)[A-Za-z0-9._~/%-]*(?:\?[A-Za-z0-9._~/?=&%+:,-]*)?")
ASSETS = {"console.css", "console.js", "htmx.min.js", "icon.svg"}
STATIC = resources.files("flagsched.web.console").joinpath("static")
blueprint = DoorBlueprint("console_door")


@blueprint.get("")
def enter() -> Response:
    """The first page has a slash at its end, so that links below it hold."""
    return Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "console/"})


@blueprint.get("/sign-in")
def show_sign_in() -> Response:
    """The page to sign in at; with a `link`, a button that uses it."""
    return _sign_in_page()


@blueprint.post("/sign-in")
def sign_in() -> Response:
    """Sign in by a token, or by a link."""
    link = request.form.get("link", "")
    try:
        token = _token_of_link(link) if link else request.form.get("token", "").strip().removeprefix("Bearer ")
        present_token(token)
        require_token()
    except FlagschedError as error:
        log_refusal(error)
        return _sign_in_page(error.message, status_of(error))
    asked = request.form.get("next", "")
    response = redirect("" if not OURS.fullmatch(asked) or ".." in asked else asked)
    set_cookie(response, SESSION, token, life=_life(token))
    return response


@blueprint.post("/sign-out")
def sign_out() -> Response:
    """Forget the token."""
    response = redirect("sign-in")
    set_cookie(response, SESSION, "", life=0)
    return response


@blueprint.get("/static/<name>")
def asset(name: str) -> Response:
    """A script or a style sheet."""
    if name not in ASSETS:
        raise NotFound
    media_type = mimetypes.guess_type(name)[0]
    content = STATIC.joinpath(name).read_bytes()
    # Its address has the version.
    return Response(content, mimetype=media_type, headers={"Cache-Control": "private, max-age=86400"})


def make_link(subject: str, role: str) -> str:
    """The code of a link by which `subject` signs in once, soon."""
    claims = with_role(role, service().roles_claim)
    code: str = create_refresh_token(subject, expires_delta=LINK_LIFE, additional_claims=claims)
    return code


def _token_of_link(code: str) -> str:
    """Use a link up, and make a token for its person; Unauthenticated."""
    try:
        claims: dict[str, Any] = decode_token(code)
    except (jwt.PyJWTError, JWTExtendedException) as error:
        raise Unauthenticated(BAD_LINK) from error
    # An access token can't be used so, and a link is no access token.
    if claims.get("type") != "refresh" or not (roles := roles_of(claims, service().roles_claim)):
        raise Unauthenticated(BAD_LINK)
    key = IdempotencyKey.of(claims["sub"], f"link {claims['jti']}", b"sign-in")
    try:
        use_once(IdempotentRequest(key, lambda _: StoredResponse(HTTPStatus.SEE_OTHER, {}, "")), store=store())
    except Replayed as error:
        raise Unauthenticated(USED) from error
    return make_token(claims["sub"], Role(roles[0]) if roles[0] in set(Role) else roles[0], SESSION_LIFE)


def _sign_in_page(problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    values = request.form if request.method == "POST" else request.args
    why = values.get("why", "")[:100]
    return plain_page(
        "sign_in.html",
        status,
        problem=problem or (f"You were signed out: the token is {why}." if why else ""),
        link_code=values.get("link", "") if not problem else "",
        next_page=values.get("next", "")[:2000],
    )


def _life(token: str) -> float | None:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    ends_at = claims.get("exp")
    return ends_at - datetime.now(UTC).timestamp() if isinstance(ends_at, int | float) else None
