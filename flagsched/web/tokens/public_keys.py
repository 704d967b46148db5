"""Public keys that verify tokens, as PEM and as JWKS."""

import json
import re
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK, PyJWTError

from flagsched.web.tokens.claims import RS256

MIN_RSA_BITS = 2048
PEM = re.compile(r"-----BEGIN ([A-Z ]*PUBLIC KEY)-----.*?-----END \1-----\n?", re.DOTALL)
UNREADABLE = (PyJWTError, ValueError, TypeError, RecursionError)


def public_keys_of(text: str) -> tuple[str, ...]:
    """The keys in a PEM text, one or more; ValueError unless each is an RSA key that is strong enough."""
    # Platforms that allow no line breaks in variables have them written as \\n.
    text = text.replace("\\n", "\n")
    keys = tuple(match[0] for match in PEM.finditer(text))
    if not keys or PEM.sub("", text).strip():
        raise ValueError("is not a public key in PEM")
    for key in keys:
        _refuse_weak_key(key)
    return keys


def _refuse_weak_key(pem: str) -> None:
    try:
        key = load_pem_public_key(pem.encode())
    except ValueError as error:
        raise ValueError("is not a public key in PEM") from error
    if not (isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS):
        raise ValueError(f"must be an RSA key of at least {MIN_RSA_BITS} bits")


def signing_keys(text: bytes) -> dict[str, RSAPublicKey]:
    """The keys of a JWKS that sign with RS256, by their ids ("" without one); ValueError if there are none.

    Keys of another type or use are ignored. Source: RFC 7517, section 5.
    """
    jwks = json.loads(text)
    jwk_list = jwks.get("keys") if isinstance(jwks, dict) else None
    if type(jwk_list) is not list:
        raise ValueError("is not a JWKS: a JSON object with an array 'keys'")
    keys = {str(jwk.get("kid", "")): key for jwk in jwk_list if (key := _signing_key(jwk)) is not None}
    if not keys:
        raise ValueError(f"has no RSA key of {MIN_RSA_BITS} bits or more that signs with {RS256}")
    return keys


def _signing_key(jwk: Any) -> RSAPublicKey | None:
    if not isinstance(jwk, dict) or jwk.get("kty") != "RSA" or jwk.get("use", "sig") != "sig":
        return None
    operations = jwk.get("key_ops")
    if jwk.get("alg", RS256) != RS256 or (isinstance(operations, list) and "verify" not in operations):
        return None
    try:
        key = PyJWK(jwk, RS256).key
    except UNREADABLE:
        return None
    # A JWK with its private part has been published: anyone could sign with it.
    return key if isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS else None
