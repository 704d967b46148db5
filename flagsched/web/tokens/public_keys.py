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
    """The keys of a text in PEM, one or more; ValueError unless each is an RSA key that is strong enough."""
    # Hosts that allow no line breaks in a variable write them as \\n.
    text = text.replace("\\n", "\n")
    keys = tuple(found[0] for found in PEM.finditer(text))
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

    Keys of another kind or use are passed over. Source: RFC 7517, section 5.
    """
    stored = json.loads(text)
    listed = stored.get("keys") if isinstance(stored, dict) else None
    if type(listed) is not list:
        raise ValueError("is not a JWKS: a JSON object with an array 'keys'")
    found = {str(one.get("kid", "")): key for one in listed if (key := _signing_key(one)) is not None}
    if not found:
        raise ValueError(f"has no RSA key of {MIN_RSA_BITS} bits or more that signs with {RS256}")
    return found


def _signing_key(stored: Any) -> RSAPublicKey | None:
    if not isinstance(stored, dict) or stored.get("kty") != "RSA" or stored.get("use", "sig") != "sig":
        return None
    operations = stored.get("key_ops")
    if stored.get("alg", RS256) != RS256 or (isinstance(operations, list) and "verify" not in operations):
        return None
    try:
        key = PyJWK(stored, RS256).key
    except UNREADABLE:
        return None
    # One that holds its private part too is everybody's by now.
    return key if isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS else None
