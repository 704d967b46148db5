"""Tokens that tests sign themselves, with the keys of an identity provider that they are."""

import base64
import hmac
import json
from functools import cache
from time import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask
from werkzeug.test import TestResponse

from tests.builders import SECRET

ISSUER, AUDIENCE = "https://id.example/", "https://flagsched.example"
FLAGS = "/api/admin/flags"
Key = str | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key of this name, the same for a whole run."""
    return _rsa_key(name, bits)


@cache
def _rsa_key(name: str, bits: int) -> rsa.RSAPrivateKey:
    del name
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def jwk(name: str, bits: int = 2048, **changed: Any) -> dict[str, Any]:
    """The public part of the key of this name, as a JWKS has it; None leaves a member out."""
    public: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key(name, bits).public_key()))
    stored = {"kty": "RSA", "kid": name, "use": "sig", "alg": "RS256", "n": public["n"], "e": public["e"]} | changed
    return {member: value for member, value in stored.items() if value is not None}


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def signed(key: Key = SECRET, algorithm: str = "HS256", *, header: dict[str, Any] | None = None, **changed: Any) -> str:
    """A token with the claims of an admin's access token, but for what is changed; None leaves a claim out."""
    now = int(time())
    claims = {"sub": "ada", "jti": "1", "type": "access", "role": "admin", "iat": now, "nbf": now, "exp": now + 3600}
    kept = {name: value for name, value in (claims | changed).items() if value is not None}
    return jwt.encode(kept, key, algorithm, headers=header)


def provided(name: str = "first", *, kid: str | None = "", header: dict[str, Any] | None = None, **changed: Any) -> str:
    """A token as an identity provider makes it, without `jti` and `type`, signed with its key of this name."""
    named = {} if kid is None else {"kid": kid or name}
    claims = {"iss": ISSUER, "aud": AUDIENCE, "jti": None, "type": None} | changed
    return signed(rsa_key(name), "RS256", header=named | (header or {}), **claims)


def by_hand(header: dict[str, Any], claims: dict[str, Any], key: bytes) -> str:
    """A token signed by HMAC-SHA-256 with any key and any header: PyJWT itself refuses to sign such."""

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    signing = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    return f"{signing}.{part(hmac.digest(key, signing.encode(), 'sha256'))}"


def show(app: Flask, token: str, path: str = FLAGS) -> TestResponse:
    return app.test_client().get(path, headers={"Authorization": f"Bearer {token}"})


def outcome(answer: TestResponse) -> str | int:
    """The status, or for a 401 what it says is wrong with the token."""
    return (
        answer.status_code if answer.status_code != 401 else str(json.loads(answer.data)["message"]).partition(": ")[2]
    )
