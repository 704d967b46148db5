"""Settings for tokens: the keys that verify them, and what they must say."""

import os

from marshmallow import ValidationError
from marshmallow.validate import Length, OneOf, Range

from flagsched.config.environment import BadSettings, env, refused_by
from flagsched.web.tokens.claims import (
    ALGORITHMS,
    AUDIENCE_CLAIMS,
    DEFAULT_ROLES_CLAIM,
    HS256,
    MAX_LEEWAY_SECONDS,
    RS256,
    TokenRules,
    refuse_bad_audiences,
    refuse_bad_claim,
)
from flagsched.web.tokens.jwks import refuse_bad_source
from flagsched.web.tokens.public_keys import public_keys_of

MIN_SECRET_BYTES = 32
MIN_DISTINCT_CHARACTERS = 10
EXAMPLES = ("change", "example", "replace", "secret", "your-")


def read_tokens() -> TokenRules:
    """Read how tokens are verified; BadSettings."""
    algorithm = env.str("JWT_ALGORITHM", HS256, validate=OneOf(ALGORITHMS))
    secrets, public_keys, jwks = (_read_secrets(), (), "") if algorithm == HS256 else ((), *_read_public_keys())
    _require_together(algorithm)
    return TokenRules(
        algorithm,
        secrets,
        public_keys,
        jwks,
        issuer=env.str("JWT_ISSUER", None, validate=Length(min=1)),
        audiences=frozenset(env.list("JWT_AUDIENCE", [], validate=refused_by(refuse_bad_audiences))),
        audience_claim=env.str("JWT_AUDIENCE_CLAIM", AUDIENCE_CLAIMS[0], validate=OneOf(AUDIENCE_CLAIMS)),
        leeway_seconds=env.int("JWT_LEEWAY_SECONDS", 10, validate=Range(0, MAX_LEEWAY_SECONDS)),
        roles_claim=env.str("JWT_ROLES_CLAIM", DEFAULT_ROLES_CLAIM, validate=refused_by(refuse_bad_claim)),
    )


def _require_together(algorithm: str) -> None:
    missing = [name for name in ("JWT_ISSUER", "JWT_AUDIENCE") if name not in os.environ]
    if algorithm == RS256 and missing:
        raise BadSettings(f'Environment variable "{missing[0]}" not set: the issuer signs tokens for others too')
    if "JWT_AUDIENCE" in missing and "JWT_AUDIENCE_CLAIM" in os.environ:
        raise BadSettings('Environment variable "JWT_AUDIENCE" not set: JWT_AUDIENCE_CLAIM needs it')
    if algorithm == HS256 and "JWT_JWKS" in os.environ:
        raise BadSettings('Environment variable "JWT_JWKS" needs JWT_ALGORITHM=RS256')


def _read_secrets() -> tuple[str, ...]:
    secret = env.str("JWT_SECRET_KEY", validate=_refuse_weak_secret)
    old = env.str("JWT_OLD_SECRET_KEY", None, validate=_refuse_weak_secret)
    return (secret, old) if old else (secret,)


def _read_public_keys() -> tuple[tuple[str, ...], str]:
    """The keys themselves, or the source of a JWKS."""
    if "JWT_JWKS" not in os.environ:
        return public_keys_of(env.str("JWT_PUBLIC_KEY", validate=refused_by(public_keys_of))), ""
    if "JWT_PUBLIC_KEY" in os.environ:
        raise BadSettings('Environment variable "JWT_JWKS" is set, and "JWT_PUBLIC_KEY" too: set one of them')
    return (), env.str("JWT_JWKS", validate=refused_by(refuse_bad_source))


def _refuse_weak_secret(secret: str) -> None:
    if not secret.isprintable():
        raise ValidationError("must be printable text")
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValidationError(f"must have at least {MIN_SECRET_BYTES} bytes; make one with 'openssl rand -hex 32'")
    if len(set(secret)) < MIN_DISTINCT_CHARACTERS or secret.lower().startswith(EXAMPLES):
        raise ValidationError("looks like an example; make one with 'openssl rand -hex 32'")
