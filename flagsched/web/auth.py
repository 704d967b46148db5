"""Who may: admins by a token with the role `admin`, looked at before the body is read; applications by the rules."""

import hmac
import re
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import ParamSpec, TypeVar

from flask import request
from flask_jwt_extended import create_access_token

from flagsched.domain.errors import Forbidden, Unauthenticated
from flagsched.web.access import Access
from flagsched.web.caller import caller_address, set_caller
from flagsched.web.service import Service, service
from flagsched.web.tokens.claims import Claims, roles_of, with_role
from flagsched.web.tokens.verifier import bearer, refused

Given = ParamSpec("Given")
Shown = TypeVar("Shown")

ADMIN = "admin"
API_KEY = "X-API-Key"
READS = {"GET", "HEAD"}
# Who did it stands in the history, so it must be fit to be stored and read.
SUBJECT = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,200}")


def require_admin() -> None:
    """Raise Unauthenticated without a valid token, Forbidden unless one of its roles is `admin`, RateLimited."""
    serving = service()
    claims, subject = _signed_in()
    if serving.rates and request.method not in READS:
        serving.rates.count_write(subject)
    if ADMIN not in roles_of(claims, serving.roles_claim):
        raise Forbidden(f"this needs a token with the role '{ADMIN}' in its claim '{serving.roles_claim}'")
    set_caller(subject)


def require_evaluation_access(serving: Service) -> None:
    """Raise Unauthenticated unless the caller shows what the rules for evaluation ask for; RateLimited."""
    rules = serving.evaluation
    if rules.access is Access.JWT:
        _signed_in()
    elif rules.access is Access.KEY:
        _count_failures(_show_key, rules.keys)


def identified_user(serving: Service) -> str | None:
    """The subject of the request's token, if it has one; Unauthenticated for one that is not valid, RateLimited.

    With access by key, Authorization may hold the key instead of a token. Then nobody is identified.
    """
    rules = serving.evaluation
    if rules.access is Access.KEY:
        _count_failures(_show_key, rules.keys)
        if _is_key(bearer() or "", rules.keys):
            return None
    return _signed_in()[1] if rules.access is Access.JWT or "Authorization" in request.headers else None


def _show_key(keys: Collection[str]) -> None:
    shown = request.headers.get(API_KEY) or bearer()
    if not shown:
        raise Unauthenticated(f"an API key is needed: {API_KEY}, or Authorization: Bearer")
    if not _is_key(shown, keys):
        raise Unauthenticated("the API key is not valid: unknown key", "unknown API key")


def _is_key(shown: str, keys: Collection[str]) -> bool:
    # Each of them, in the same time whatever was shown.
    return sum(hmac.compare_digest(shown.encode(), key.encode()) for key in keys) > 0


def _signed_in() -> tuple[Claims, str]:
    return _count_failures(_identified)


def _count_failures(show: Callable[Given, Shown], *given: Given.args, **named: Given.kwargs) -> Shown:
    try:
        return show(*given, **named)
    except Unauthenticated:
        if rates := service().rates:
            rates.count_failed_sign_in(caller_address())
        raise


def _identified() -> tuple[Claims, str]:
    claims = service().claims()
    subject = claims.get("sub")
    if not (isinstance(subject, str) and SUBJECT.fullmatch(subject)):
        raise refused("sub is not 1 to 200 printable characters")
    return claims, subject


def make_token(subject: str, role: str, life: timedelta) -> str:
    """A token for `subject`, signed with the key of the current app."""
    claims = with_role(role, service().roles_claim)
    token: str = create_access_token(subject, expires_delta=life, additional_claims=claims)
    return token
