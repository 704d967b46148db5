"""Who may: a valid token, with the role `admin`, looked at before the body is read."""

import hmac
import re
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from time import time
from typing import Any, ParamSpec, TypeVar

import jwt
import structlog
from flask import current_app, request
from flask_jwt_extended import create_access_token, get_jwt, verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException

from flagsched.domain.errors import Forbidden, Unauthenticated
from flagsched.web.context import Service, admit, service
from flagsched.web.rules import Access

Given = ParamSpec("Given")
Shown = TypeVar("Shown")

log = structlog.get_logger("flagsched.web")
ROLE = "role"
ADMIN = "admin"
READS = {"GET", "HEAD"}
LONGEST_LIFE = timedelta(hours=24)
# Who did it stands in the history, so it must be fit to be stored and read.
SUBJECT = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,200}")
BEARER = re.compile(r"Bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)")
NEEDED = "a valid token is needed: Authorization: Bearer <JWT>"


def require_admin() -> None:
    """Raise Unauthenticated without a valid token, Forbidden unless its role is exactly `admin`, RateLimited."""
    rates = service().rates
    claims, subject = _signed_in()
    if rates and request.method not in READS:
        rates.count_write(subject)
    if claims.get(ROLE) != ADMIN:
        raise Forbidden("this needs a token with the claim role = 'admin'")
    admit(subject)


def subject_if_any() -> str | None:
    """Who the request's token says that the caller is, if it has one; Unauthenticated for one that is not valid."""
    return _signed_in()[1] if "Authorization" in request.headers else None


def require_evaluation_access(serving: Service) -> None:
    """Raise Unauthenticated unless the caller shows what the rules for evaluation ask for; RateLimited."""
    rules = serving.evaluation
    if rules.access is Access.JWT:
        _signed_in()
    elif rules.access is Access.KEY:
        _count_failures(_show_key, rules.keys)


def _show_key(keys: Collection[str]) -> None:
    shown = request.headers.get("X-API-Key") or _bearer(request.headers.get("Authorization", ""))
    # Each of them, in the same time whatever was shown.
    if not sum(hmac.compare_digest(shown.encode(), key.encode()) for key in keys):
        raise Unauthenticated("an API key is needed: X-API-Key, or Authorization: Bearer")


def _bearer(authorization: str) -> str:
    scheme, _, shown = authorization.partition(" ")
    return shown.strip() if scheme.lower() == "bearer" else ""


def _signed_in() -> tuple[Mapping[str, Any], str]:
    return _count_failures(_identified)


def _count_failures(show: Callable[Given, Shown], *given: Given.args, **named: Given.kwargs) -> Shown:
    try:
        return show(*given, **named)
    except Unauthenticated:
        if rates := service().rates:
            rates.count_failed_sign_in(request.remote_addr or "")
        raise


def _identified() -> tuple[Mapping[str, Any], str]:
    claims = service().claims()
    subject = claims.get("sub")
    if not (isinstance(subject, str) and SUBJECT.fullmatch(subject)):
        raise Unauthenticated("the token's sub is not 1 to 200 printable characters")
    return claims, subject


def verified_claims() -> Mapping[str, Any]:
    """The claims of the request's token as the app's JWTManager verifies it; Unauthenticated."""
    if "flask-jwt-extended" not in current_app.extensions:
        log.error("this app has no JWTManager to verify tokens with, and was given no claims=")
        raise Unauthenticated(NEEDED)
    try:
        verify_jwt_in_request()
    except (JWTExtendedException, jwt.PyJWTError) as error:
        log.info("token refused", cause=str(error))
        raise Unauthenticated(NEEDED) from error
    return get_jwt()


def strict_claims() -> Mapping[str, Any]:
    """The verified claims of a bearer token that says of itself all that an access token must; Unauthenticated."""
    bearer = BEARER.fullmatch(request.headers.get("Authorization", ""))
    if bearer is None:
        raise Unauthenticated(NEEDED)
    verified_claims()
    # The library fills in what is missing, so look at what stands in the token itself.
    claims: dict[str, Any] = jwt.decode(bearer[1], options={"verify_signature": False})
    if why := _shortcoming(claims):
        raise Unauthenticated(f"the token {why}")
    return claims


def _shortcoming(claims: Mapping[str, Any]) -> str | None:
    if missing := [name for name in ("exp", "sub", "jti", "type") if not claims.get(name)]:
        return f"has no {missing[0]}"
    if wrong := [name for name in ("exp", "iat", "nbf") if type(claims.get(name, 0)) not in {int, float}]:
        return f"has an {wrong[0]} that is no number"
    if claims["type"] != "access":
        return "is not an access token"
    issued_at = min(claims.get("iat", time()), time())
    if claims["exp"] - issued_at > LONGEST_LIFE.total_seconds():
        return f"is valid for more than {LONGEST_LIFE.total_seconds() / 3600:.0f} hours"
    return None


def make_token(subject: str, role: str, life: timedelta) -> str:
    """A token for `subject`, signed with the key of the current app."""
    token: str = create_access_token(subject, expires_delta=life, additional_claims={ROLE: role})
    return token
