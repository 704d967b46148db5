"""Which tokens are accepted, and which roles they grant. Without Flask, since settings use it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from time import time
from typing import Any

Claims = Mapping[str, Any]
HS256, RS256 = "HS256", "RS256"
ALGORITHMS = (HS256, RS256)
DEFAULT_ROLES_CLAIM = "role"
# Access tokens of Amazon Cognito have no `aud`: they name the client that they were issued to.
AUDIENCE_CLAIMS = ("aud", "client_id")
MAX_LIFE = timedelta(hours=24)
MAX_LEEWAY_SECONDS = 300
# The claims that mark an access token: ours (flask-jwt-extended's), Cognito's, Keycloak's. Id tokens differ in them.
ACCESS_TOKEN = {"type": {"access"}, "token_use": {"access"}, "typ": {"Bearer", "JWT", "at+jwt"}}
# Likewise in the token's header. Source: RFC 8725, section 3.11; RFC 9068, section 4.
HEADER_TYPES = {"jwt", "at+jwt", "application/at+jwt"}
# Hashes of what was issued with an id token. Source: OpenID Connect Core 1.0, sections 3.1.3.6 and 3.3.2.11.
ID_TOKEN_CLAIMS = {"at_hash", "c_hash"}


@dataclass(frozen=True, slots=True)
class TokenRules:
    """How tokens are verified: with `secrets` (HS256; the first signs), or with `public_keys` or a `jwks` (RS256).

    `secrets` and `public_keys` hold more than one while a key is replaced. `jwks` is a file or a URL. A token must name
    one of `audiences` in `audience_claim`. `roles_claim` is the name of the claim that holds the roles or, if it begins
    with "/", a JSON pointer to it (RFC 6901).

    Raises ValueError for rules that would accept other applications' tokens.
    """

    algorithm: str = HS256
    secrets: tuple[str, ...] = field(default=(), repr=False)
    public_keys: tuple[str, ...] = ()
    jwks: str = ""
    issuer: str | None = None
    audiences: frozenset[str] = frozenset()
    audience_claim: str = "aud"
    leeway_seconds: int = 10
    roles_claim: str = DEFAULT_ROLES_CLAIM

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS or self.audience_claim not in AUDIENCE_CLAIMS:
            raise ValueError(f"the algorithm is one of {ALGORITHMS}, the audience's claim one of {AUDIENCE_CLAIMS}")
        if self.algorithm == HS256 and (not self.secrets or self.public_keys or self.jwks):
            raise ValueError("HS256 needs secrets, and nothing else to verify with")
        if self.algorithm == RS256 and bool(self.public_keys) == bool(self.jwks):
            raise ValueError("RS256 needs either public keys or a JWKS")
        if self.algorithm == RS256 and not (self.issuer and self.audiences):
            raise ValueError("RS256 needs an issuer and an audience: its keys sign tokens for others too")
        if self.audience_claim != "aud" and not self.audiences:
            raise ValueError(f"the audience's claim is {self.audience_claim}, and there is no audience")
        refuse_bad_claim(self.roles_claim)

    @property
    def required_claims(self) -> tuple[str, ...]:
        """Providers leave out `jti` and `type`: these are not needed where issuer and audience are verified."""
        return ("exp", "sub") if self.issuer and self.audiences else ("exp", "sub", "jti", "type")

    def problem(self, header: Claims, claims: Claims) -> str | None:
        """What is wrong with a token whose signature, times, issuer and `aud` have been verified, if anything."""
        if missing := [name for name in self.required_claims if not claims.get(name)]:
            return f"no {missing[0]}"
        if not all(type(claims.get(name, 0)) in {int, float} for name in ("exp", "iat", "nbf")):
            return "exp, iat or nbf is not a number"
        if not _is_access_token(header, claims):
            return "not an access token"
        if claims["exp"] - min(claims.get("iat", time()), time()) > MAX_LIFE.total_seconds() + self.leeway_seconds:
            return f"valid for more than {MAX_LIFE.total_seconds() / 3600:.0f} hours"
        return None if self._is_for_us(claims) else "wrong audience"

    def _is_for_us(self, claims: Claims) -> bool:
        if self.audience_claim == "aud":
            return True
        # A token with an `aud` must name us there too. Source: RFC 7519, section 4.1.3.
        names = {"aud", self.audience_claim} & claims.keys()
        return self.audience_claim in names and all(self.audiences.intersection(texts(claims[name])) for name in names)


def roles_of(claims: Claims, roles_claim: str) -> list[str]:
    """The roles in a claim, which is a string or a list; none if it is anything else."""
    value: Any = claims
    for name in _path(roles_claim):
        value = value.get(name) if isinstance(value, Mapping) else None
    return texts(value)


def with_role(role: str, roles_claim: str) -> dict[str, Any]:
    """The claims of a token with this role."""
    claims: Any = role
    for name in reversed(_path(roles_claim)):
        claims = {name: claims}
    return dict(claims)


def texts(value: Any) -> list[str]:
    """The strings in a value that may be one string, or a list."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str)]


def refuse_bad_claim(name: str) -> None:
    """ValueError for a name or pointer that no token's claim can match."""
    if not name.isprintable() or name != name.strip() or "" in _path(name):
        raise ValueError("must be the name of a claim, or a JSON pointer to it like /realm_access/roles")
    if "." in name and not any(mark in name for mark in ":/"):
        nested = "/" + name.replace(".", "/")
        raise ValueError(f"must be {nested} if it is nested, or /{name} if the claim's own name has the dots")


def refuse_bad_audiences(audiences: Collection[str]) -> None:
    """ValueError for names that no token can have."""
    if not audiences or any(one != one.strip() or not one for one in audiences):
        raise ValueError("must be one or more names, with commas and no spaces between them")


def _path(name: str) -> list[str]:
    if not name.startswith("/"):
        return [name]
    return [part.replace("~1", "/").replace("~0", "~") for part in name[1:].split("/")]


def _is_access_token(header: Claims, claims: Claims) -> bool:
    header_type = header.get("typ", "JWT")
    if not (isinstance(header_type, str) and header_type.lower() in HEADER_TYPES) or ID_TOKEN_CLAIMS & claims.keys():
        return False
    return all(
        isinstance(claims[name], str) and claims[name] in values
        for name, values in ACCESS_TOKEN.items()
        if name in claims
    )
