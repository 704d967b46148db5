"""Who may send a request: under /api/admin by the roles in a token, elsewhere by the rules for evaluation."""

import hmac
import re
from collections.abc import Callable, Collection
from datetime import timedelta
from http import HTTPStatus
from typing import NamedTuple, ParamSpec, TypeVar

from flask import request
from flask_jwt_extended import create_access_token

from flagsched.domain.errors import Forbidden, Unauthenticated
from flagsched.web.access import Access
from flagsched.web.caller import caller_address, caller_roles, set_caller
from flagsched.web.roles import Role, one_of
from flagsched.web.service import Service, service
from flagsched.web.tokens.claims import Claims, roles_of, with_role
from flagsched.web.tokens.verifier import bearer, refused

P = ParamSpec("P")
T = TypeVar("T")

API_KEY = "X-API-Key"
READS = {"GET", "HEAD"}
# The history stores the subject, so it must be printable and short.
SUBJECT = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,200}")


class Authentication(NamedTuple):
    """How a blueprint checks its callers, and what the OpenAPI document says of that."""

    check: Callable[[], None]
    """Runs before the body is read; raises for a caller who is refused."""
    security: tuple[dict[str, list[str]], ...]
    refusals: frozenset[HTTPStatus]
    """The statuses that follow from the check, and from a database that may be away, on every route."""


def require_token() -> None:
    """Note whose token this is, and its roles; raise Unauthenticated without a valid one, RateLimited."""
    serving = service()
    claims, subject = _signed_in()
    if serving.rates and request.method not in READS:
        serving.rates.count_write(subject)
    set_caller(subject, roles_of(claims, serving.roles_claim))


def require_role(role: Role) -> None:
    """Raise Forbidden unless the caller's token holds this role, or one above it."""
    if caller_roles().isdisjoint(role.sufficient):
        needed = one_of(role.sufficient)
        raise Forbidden(f"this needs a token with the role {needed} in its claim '{service().roles_claim}'")


TOKEN_HOLDERS = Authentication(
    require_token,
    security=({"bearer": []},),
    refusals=frozenset(
        {
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        }
    ),
)


def require_evaluation_access(serving: Service) -> None:
    """Raise Unauthenticated unless the caller has what the rules for evaluation demand; RateLimited."""
    rules = serving.evaluation
    if rules.access is Access.JWT:
        _signed_in()
    elif rules.access is Access.KEY:
        _count_failures(_check_key, rules.keys)


def identified_user(serving: Service) -> str | None:
    """The subject of the request's token, if it has one; Unauthenticated for an invalid token, RateLimited.

    With access by key, Authorization may hold the key instead of a token. Then nobody is identified.
    """
    rules = serving.evaluation
    if rules.access is Access.KEY:
        _count_failures(_check_key, rules.keys)
        if _is_key(bearer() or "", rules.keys):
            return None
    return _signed_in()[1] if rules.access is Access.JWT or "Authorization" in request.headers else None


def _check_key(keys: Collection[str]) -> None:
    key = request.headers.get(API_KEY) or bearer()
    if not key:
        raise Unauthenticated(f"an API key is needed: {API_KEY}, or Authorization: Bearer")
    if not _is_key(key, keys):
        raise Unauthenticated("the API key is not valid: unknown key", "unknown API key")


def _is_key(candidate: str, keys: Collection[str]) -> bool:
    # Compare with every key, in constant time, whatever the caller sent.
    return sum(hmac.compare_digest(candidate.encode(), key.encode()) for key in keys) > 0


def _signed_in() -> tuple[Claims, str]:
    return _count_failures(_identified)


def _count_failures(check: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return check(*args, **kwargs)
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
