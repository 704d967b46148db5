"""Tokens of requests: verified by flask-jwt-extended; a refusal has its reason, and never quotes the token."""

import re
from collections.abc import Callable, Sequence
from functools import partial

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from flask import Flask, current_app, request
from flask_jwt_extended import JWTManager, decode_token, get_jwt, verify_jwt_in_request
from flask_jwt_extended import exceptions as extended

from flagsched.domain.errors import Unauthenticated
from flagsched.web.tokens.claims import HS256, Claims, TokenRules
from flagsched.web.tokens.jwks import JwksKeys

Key = str | RSAPublicKey
FindKeys = Callable[[str | None], Sequence[Key]]

log = structlog.get_logger("flagsched.web")
TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
NEEDED = "a valid token is needed: Authorization: Bearer <JWT>"
NOT_A_JWT = "not a JWT"
# The first that matches counts.
PROBLEMS: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: "expired",
    jwt.ImmatureSignatureError: "not yet valid",
    jwt.InvalidAudienceError: "wrong audience",
    jwt.InvalidIssuerError: "wrong issuer",
    jwt.InvalidSignatureError: "bad signature",
    jwt.InvalidAlgorithmError: "wrong algorithm",
    jwt.exceptions.InvalidSubjectError: "sub is not a string",
    jwt.exceptions.InvalidJTIError: "jti is not a string",
    jwt.InvalidTokenError: NOT_A_JWT,
    extended.InvalidHeaderError: NOT_A_JWT,
    extended.WrongTokenError: "not an access token",
    extended.RevokedTokenError: "revoked",
    extended.UserLookupError: "unknown user",
}


def refused(problem: str) -> Unauthenticated:
    """The error for a token with this problem."""
    return Unauthenticated(f"the token is not valid: {problem}", problem)


def bearer() -> str | None:
    """The request's bearer token, if it has one. Source: RFC 6750, section 2.1."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None


def verified_claims() -> Claims:
    """The claims of the request's token, which the app's JWTManager verifies; Unauthenticated."""
    if "flask-jwt-extended" not in current_app.extensions:
        log.error("this app has no JWTManager to verify tokens with, and was given no claims=")
        raise Unauthenticated(NEEDED)
    try:
        verify_jwt_in_request()
    except extended.NoAuthorizationError as error:
        raise Unauthenticated(NEEDED) from error
    except (extended.JWTExtendedException, jwt.PyJWTError) as error:
        raise refused(_problem(error)) from error
    return get_jwt()


def verify_strictly(app: Flask, rules: TokenRules) -> Callable[[], Claims]:
    """Give `app` a JWTManager with these rules; returns a function that verifies the request's token."""
    app.config.update(
        JWT_ALGORITHM=rules.algorithm,
        JWT_SECRET_KEY=rules.secrets[0] if rules.secrets else None,
        JWT_DECODE_ISSUER=rules.issuer,
        JWT_ENCODE_ISSUER=rules.issuer,
        JWT_DECODE_AUDIENCE=sorted(rules.audiences) if rules.audiences and rules.audience_claim == "aud" else None,
        JWT_ENCODE_AUDIENCE=sorted(rules.audiences) if rules.audience_claim == "aud" else None,
        JWT_DECODE_LEEWAY=rules.leeway_seconds,
    )
    find = key_finder(rules)
    manager = JWTManager(app)
    manager.decode_key_loader(lambda header, _: _key(header, find, rules.algorithm))
    if rules.audience_claim != "aud":
        manager.additional_claims_loader(lambda _: {rules.audience_claim: min(rules.audiences)})
    return partial(_strict_claims, rules)


def key_finder(rules: TokenRules) -> FindKeys:
    """Returns a function from a key id to the keys that may have signed a token with it."""
    keys: Sequence[Key] = rules.secrets if rules.algorithm == HS256 else rules.public_keys
    return JwksKeys(rules.jwks).find if rules.jwks else lambda _: keys


def _key(header: Claims, find: FindKeys, algorithm: str) -> Key:
    # Checked before a key is looked up: a token with a wrong algorithm causes no fetch.
    if header.get("alg") != algorithm:
        raise jwt.InvalidAlgorithmError
    keys = find(header.get("kid"))
    if not keys:
        raise refused("unknown key id" if "kid" in header else "no key id")
    return next((key for key in keys if _has_signed(key, algorithm)), keys[0]) if len(keys) > 1 else keys[0]


def _has_signed(key: Key, algorithm: str) -> bool:
    try:
        jwt.PyJWS().decode(bearer() or "", key, algorithms=[algorithm])
    except jwt.InvalidSignatureError:
        return False
    return True


def _strict_claims(rules: TokenRules) -> Claims:
    token = bearer()
    if token is None:
        raise Unauthenticated(NEEDED)
    if not TOKEN.fullmatch(token):
        raise refused(NOT_A_JWT)
    try:
        decode_token(token)
    except (extended.JWTExtendedException, jwt.PyJWTError) as error:
        raise refused(_problem(error)) from error
    # The library fills in missing claims, so read the token itself.
    decoded = jwt.decode_complete(token, options={"verify_signature": False})
    if problem := rules.problem(decoded["header"], decoded["payload"]):
        raise refused(problem)
    claims: Claims = decoded["payload"]
    return claims


def _problem(error: Exception) -> str:
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"no {error.claim}"
    if isinstance(error, extended.JWTDecodeError):
        return "no sub"
    if "must be an integer" in str(error):
        return "exp, iat or nbf is not a number"
    return next((problem for kind, problem in PROBLEMS.items() if isinstance(error, kind)), "not accepted here")
