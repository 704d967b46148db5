"""Tokens of requests: verified by flask-jwt-extended, each refusal with its reason, and never quoted."""

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
# The first that fits counts.
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
    """What to raise for a token with this problem."""
    return Unauthenticated(f"the token is not valid: {problem}", problem)


def bearer() -> str | None:
    """What the request shows as a bearer token, if it shows one. Source: RFC 6750, section 2.1."""
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    return shown.strip(" ") if scheme.lower() == "bearer" else None


def verified_claims() -> Claims:
    """The claims of the request's token as the app's JWTManager verifies it; Unauthenticated."""
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
    """Give `app` a JWTManager of these rules; what is returned gives the claims of the request's token by them."""
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
    """What gives the keys that may have signed a token with this key id."""
    keys: Sequence[Key] = rules.secrets if rules.algorithm == HS256 else rules.public_keys
    return JwksKeys(rules.jwks).find if rules.jwks else lambda _: keys


def _key(header: Claims, find: FindKeys, algorithm: str) -> Key:
    # Before any key is looked for: a token that could not be right has nothing fetched.
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
    # The library fills in what is missing, so look at what stands in the token itself.
    whole = jwt.decode_complete(token, options={"verify_signature": False})
    if problem := rules.problem(whole["header"], whole["payload"]):
        raise refused(problem)
    claims: Claims = whole["payload"]
    return claims


def _problem(error: Exception) -> str:
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"no {error.claim}"
    if isinstance(error, extended.JWTDecodeError):
        return "no sub"
    if "must be an integer" in str(error):
        return "exp, iat or nbf is not a number"
    return next((problem for kind, problem in PROBLEMS.items() if isinstance(error, kind)), "not accepted here")
