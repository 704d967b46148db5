"""Who may: a valid token, with the role `admin`, looked at before the body is read."""

import re
from datetime import timedelta

import jwt
from flask import current_app
from flask_jwt_extended import create_access_token, get_jwt, verify_jwt_in_request
from flask_jwt_extended.exceptions import JWTExtendedException

from flagsched.domain.errors import Forbidden, Unauthenticated
from flagsched.web.context import admit

ROLE = "role"
ADMIN = "admin"
# Who did it stands in the history, so it must be fit to be stored and read.
SUBJECT = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,200}")


def require_admin() -> None:
    """Raise Unauthenticated without a valid token, Forbidden unless its role is exactly `admin`."""
    try:
        verify_jwt_in_request()
    except (JWTExtendedException, jwt.PyJWTError) as error:
        current_app.logger.info("token refused: %s", error)
        raise Unauthenticated("a valid token is needed: Authorization: Bearer <JWT>") from error
    claims = get_jwt()
    if not SUBJECT.fullmatch(claims["sub"]):
        raise Unauthenticated("the token's sub is not 1 to 200 printable characters")
    if claims.get(ROLE) != ADMIN:
        raise Forbidden("this needs a token with the claim role = 'admin'")
    admit(claims["sub"])


def make_token(subject: str, role: str, life: timedelta) -> str:
    """A token for `subject`, signed with the key of the current app."""
    token: str = create_access_token(subject, expires_delta=life, additional_claims={ROLE: role})
    return token
