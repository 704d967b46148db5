"""Who looks at the console: a token in a cookie, and forms that only our own pages can have made."""

import hmac
import re
import secrets
from typing import NamedTuple

from flask import Response, current_app, g, request

from flagsched.domain.errors import Forbidden
from flagsched.web.auth import READS, require_token
from flagsched.web.caller import caller, caller_roles
from flagsched.web.roles import Role

SESSION = "flagsched_session"
FORM_KEY = "flagsched_form"
FORM_FIELD = "form_key"
HEADER = (("JWT_HEADER_NAME", "Authorization"), ("JWT_HEADER_TYPE", "Bearer"))
KEY = re.compile(r"[A-Za-z0-9_-]{43}")
OLD_FORM = "this form is not one that this page has made for you: load the page again, and send it once more"


class Person(NamedTuple):
    """Whoever is signed in."""

    name: str
    roles: frozenset[str]

    def may(self, role: str) -> bool:
        """Has the person this role, or one above it?"""
        return not self.roles.isdisjoint(Role(role).sufficient)


def require_session() -> None:
    """Note who is signed in; raise Unauthenticated without a valid token in the cookie."""
    if token := request.cookies.get(SESSION):
        present_token(token)
    require_token()


def present_token(token: str) -> None:
    """Let this request have a token as the API's requests do, in the header that the app's JWTManager reads."""
    name, kind = (current_app.config.get(key, default) for key, default in HEADER)
    request.environ[f"HTTP_{name.upper().replace('-', '_')}"] = f"{kind} {token}".strip()


def person() -> Person | None:
    """Whoever is signed in; None on the pages that are open to all."""
    return Person(caller().name, caller_roles()) if "flagsched_subject" in g else None


def refuse_forged_forms() -> None:
    """Raise Forbidden for a form that does not hold the key in the browser's cookie: another site has made it."""
    if request.method in READS:
        return
    kept, sent = request.cookies.get(FORM_KEY, ""), request.form.get(FORM_FIELD, "")
    if not (KEY.fullmatch(kept) and hmac.compare_digest(kept.encode(), sent.encode())):
        raise Forbidden(OLD_FORM)


def form_key() -> str:
    """What a form of this response holds: the key in the browser's cookie, or one that is set now."""
    kept = request.cookies.get(FORM_KEY, "")
    if KEY.fullmatch(kept):
        return kept
    if "flagsched_form_key" not in g:
        g.flagsched_form_key = secrets.token_urlsafe(32)
    made: str = g.flagsched_form_key
    return made


def keep_form_key(response: Response) -> Response:
    """Set the cookie of a key that was made for this response."""
    if made := g.get("flagsched_form_key"):
        set_cookie(response, FORM_KEY, made)
    return response


def set_cookie(response: Response, name: str, value: str, *, life: float | None = None) -> None:
    """A cookie for the console alone, which no script reads and no other site sends."""
    # Without a path it is for the folder of this page, whatever prefix a proxy has removed.
    response.set_cookie(
        name,
        value,
        max_age=None if life is None else int(life),
        path=None,
        secure=request.is_secure,
        httponly=True,
        samesite="Strict",
    )
