"""The keys of an identity provider: read when needed, without delaying other requests. Against a real server."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from flask import Flask

from flagsched.domain.errors import IssuerUnavailable
from flagsched.web.access import Access, EvaluationRules
from flagsched.web.tokens.claims import TokenRules
from flagsched.web.tokens.jwks import JwksKeys
from flagsched.web.tokens.public_keys import signing_keys
from tests.processes import free_port, until
from tests.provider import Provider, certify, provider
from tests.tokens import AUDIENCE, ISSUER, jwk, jwks, outcome, provided, show

MakeApp = Callable[..., Flask]


class Clock:
    """A monotonic clock that a test advances."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer() -> Iterator[Provider]:
    """A provider with the key `first`."""
    with provider(jwks(jwk("first"))) as served:
        yield served


@pytest.fixture
def keys(issuer: Provider, clock: Clock) -> JwksKeys:
    return JwksKeys(issuer.url, clock=clock)


def rules(source: str) -> TokenRules:
    return TokenRules("RS256", jwks=source, issuer=ISSUER, audiences=frozenset({AUDIENCE}))


def knows(keys: JwksKeys, key_id: str | None) -> bool:
    return bool(keys.find(key_id))


def seconds_of(act: Callable[[], object]) -> float:
    began = perf_counter()
    act()
    return perf_counter() - began


@pytest.mark.parametrize("kind", ["URL", "file"])
def test_while_a_key_is_replaced_tokens_of_both_are_accepted(
    app_by: MakeApp, issuer: Provider, tmp_path: Path, kind: str
) -> None:
    both = jwks(jwk("first"), jwk("second"))
    issuer.body = both
    (tmp_path / "jwks.json").write_bytes(both)
    app = app_by(rules(issuer.url if kind == "URL" else str(tmp_path / "jwks.json")))

    assert [outcome(show(app, provided(name))) for name in ("first", "second")] == [200, 200]
    assert outcome(show(app, provided("first", kid="second"))) == "bad signature"
    assert outcome(show(app, provided("third"))) == "unknown key id"
    assert outcome(show(app, provided("first", kid=None))) == "no key id"
    assert len(issuer.asked) == (1 if kind == "URL" else 0)


@pytest.mark.parametrize("kind", ["URL", "file"])
def test_a_new_key_is_read_when_its_first_token_comes(
    issuer: Provider, clock: Clock, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(issuer.body)
    keys = JwksKeys(issuer.url if kind == "URL" else str(file), clock=clock)
    assert (knows(keys, "first"), knows(keys, "second")) == (True, False)

    issuer.body = jwks(jwk("second"))
    file.write_bytes(issuer.body)
    clock.at += 10

    assert (knows(keys, "second"), knows(keys, "first")) == (True, False)


def test_the_only_key_may_sign_without_a_name(keys: JwksKeys, issuer: Provider, clock: Clock) -> None:
    issuer.body = jwks(jwk("first", kid=None))
    assert knows(keys, None)

    issuer.body = jwks(jwk("first"), jwk("second"))
    clock.at += 1000

    assert (knows(keys, None), knows(keys, "first")) == (False, True)


def test_tokens_with_made_up_key_ids_have_keys_read_once_in_ten_seconds(
    keys: JwksKeys, issuer: Provider, clock: Clock
) -> None:
    assert not any(knows(keys, f"made-up-{n}") for n in range(50))
    assert len(issuer.asked) == 1

    clock.at += 10
    assert not any(knows(keys, f"made-up-{n}") for n in range(50))
    assert len(issuer.asked) == 2


def test_a_token_that_could_not_be_right_has_nothing_read(app_by: MakeApp, issuer: Provider) -> None:
    app = app_by(rules(issuer.url))

    assert outcome(show(app, "a.b.c")) == "not a JWT"
    assert outcome(show(app, "x" * 5000)) == "not a JWT"
    assert issuer.asked == []


def test_a_provider_that_is_down_is_asked_once_in_ten_seconds_too(
    keys: JwksKeys, issuer: Provider, clock: Clock
) -> None:
    issuer.status = 500

    for _ in range(5):
        with pytest.raises(IssuerUnavailable):
            keys.find("first")
    assert len(issuer.asked) == 1

    issuer.status = 200
    clock.at += 10
    assert knows(keys, "first")


AWAY: dict[str, dict[str, Any]] = {
    "an error": {"status": 500},
    "not found": {"status": 404},
    "a redirect to elsewhere": {"status": 302, "headers": {"Location": "/elsewhere"}},
    "a lasting redirect": {"status": 308, "headers": {"Location": "/elsewhere"}},
    "a page": {"body": b"<html>signed in</html>"},
    "nothing": {"body": b""},
    "no object": {"body": b"[]"},
    "keys that are no list": {"body": b'{"keys": {}}'},
    "no key": {"body": b'{"keys": []}'},
    "too deep": {"body": b'{"keys": ' + b"[" * 100_000},
    "no UTF-8": {"body": b'{"keys": "\xff\xfe"}'},
    "too much": {"body": jwks(jwk("first"), jwk("second")) + b" " * 300_000},
    "half of it": {"body": jwks(jwk("second"))[:-20], "headers": {"Content-Length": "5000"}},
}


@pytest.mark.parametrize("name", AWAY)
def test_known_keys_go_on_while_their_provider_has_none(
    keys: JwksKeys, issuer: Provider, clock: Clock, name: str
) -> None:
    assert knows(keys, "first")
    for attribute, value in AWAY[name].items():
        setattr(issuer, attribute, value)

    for _ in range(3):
        clock.at += 1000
        assert (knows(keys, "first"), knows(keys, "second")) == (True, False)

    assert len(issuer.asked) >= 3
    assert "/elsewhere" not in issuer.asked


def test_a_key_that_is_withdrawn_ends_after_five_minutes(keys: JwksKeys, issuer: Provider, clock: Clock) -> None:
    assert knows(keys, "first")
    issuer.body = jwks(jwk("second"))
    clock.at += 299
    assert knows(keys, "first")
    assert len(issuer.asked) == 1

    clock.at += 2
    keys.find("first")
    until(lambda: not knows(keys, "first"), what="the key has ended")

    assert len(issuer.asked) == 2


def test_after_a_long_pause_a_withdrawn_key_opens_not_even_once(keys: JwksKeys, issuer: Provider, clock: Clock) -> None:
    assert knows(keys, "first")
    issuer.body = jwks(jwk("second"))

    clock.at += 24 * 3600

    assert not knows(keys, "first")


def test_who_has_a_known_key_does_not_wait_for_a_slow_provider(keys: JwksKeys, issuer: Provider, clock: Clock) -> None:
    assert knows(keys, "first")
    issuer.answering.clear()
    clock.at += 301

    with ThreadPoolExecutor(8) as requests:
        waited = list(requests.map(lambda _: seconds_of(lambda: keys.find("first")), range(40)))

    assert max(waited) < 0.5
    assert len(issuer.asked) <= 2


def test_a_slow_provider_holds_up_nobody_for_longer_than_two_seconds(issuer: Provider) -> None:
    issuer.answering.clear()
    keys = JwksKeys(issuer.url)

    def ask(_: int) -> float:
        def find() -> None:
            with pytest.raises(IssuerUnavailable):
                keys.find("first")

        return seconds_of(find)

    with ThreadPoolExecutor(8) as requests:
        waited = list(requests.map(ask, range(16)))

    assert max(waited) < 3
    assert sum(one < 0.5 for one in waited) >= 8  # Those that came when the two seconds were over.
    assert len(issuer.asked) == 1


def test_a_provider_that_sends_a_byte_now_and_then_is_given_up(keys: JwksKeys, issuer: Provider, clock: Clock) -> None:
    issuer.drips = True
    with pytest.raises(IssuerUnavailable):
        keys.find("first")
    clock.at += 10

    def asks_again() -> bool:
        with pytest.raises(IssuerUnavailable):
            keys.find("first")
        return len(issuer.asked) > 1

    until(asks_again, what="the first fetch has ended")


def test_a_provider_is_believed_only_by_a_certificate_that_is_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate = certify(tmp_path)
    with provider(jwks(jwk("first")), certificate) as issuer:
        with pytest.raises(IssuerUnavailable):
            JwksKeys(issuer.url).find("first")
        assert issuer.asked == []

        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert knows(JwksKeys(issuer.url), "first")


def test_until_keys_were_read_once_tokens_are_answered_503(app_by: MakeApp) -> None:
    app = app_by(rules(f"http://127.0.0.1:{free_port()}/jwks"), EvaluationRules(Access.JWT))
    request = {"json": {"context": {"targetingKey": "ada"}}, "headers": {"Authorization": f"Bearer {provided()}"}}

    answers = [
        show(app, provided()),
        show(app, provided(), "/api/config/flags"),
        app.test_client().post("/ofrep/v1/evaluate/flags", **request),
    ]

    assert [answer.status_code for answer in answers] == [503] * 3
    assert [answer.headers["Retry-After"] for answer in answers] == ["2"] * 3
    assert json.loads(answers[0].data)["error"] == "ISSUER_UNAVAILABLE"
    assert "127.0.0.1" not in answers[0].text


OTHER_KEYS: dict[str, Any] = {
    "for encryption": jwk("enc", use="enc"),
    "for another algorithm": jwk("ps256", alg="PS256"),
    "for encryption by its algorithm": jwk("oaep", use=None, alg="RSA-OAEP"),
    "for signing alone": jwk("private-use", key_ops=["sign"]),
    "a secret": {"kty": "oct", "kid": "secret", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "alg": "HS256"},
    "a secret called RS256": {"kty": "oct", "kid": "secret", "k": "c2VjcmV0", "alg": "RS256"},
    "an elliptic curve": {"kty": "EC", "kid": "ec", "crv": "P-256", "x": "AA", "y": "AA"},
    "too weak": jwk("weak", 1024),
    "of an unknown kind": {"kty": "AKP", "kid": "pq"},
    "without a kind": {"kid": "first"},
    "broken": jwk("broken", n="!"),
    "with numbers for text": jwk("numbers", n=5, e=3),
    "without a modulus": jwk("none", n=None),
    "no object": 7,
    "nothing": None,
}


@pytest.mark.parametrize("name", OTHER_KEYS)
def test_keys_of_another_kind_or_use_are_passed_over(name: str) -> None:
    assert list(signing_keys(jwks(OTHER_KEYS[name], jwk("first")))) == ["first"]
    with pytest.raises(ValueError, match="has no RSA key"):
        signing_keys(jwks(OTHER_KEYS[name]))


def test_a_key_needs_neither_a_use_nor_an_algorithm() -> None:
    plain = jwk("first", use=None, alg=None, key_ops=["verify"], x5c=["x"], x5t="y", extra={})

    assert list(signing_keys(jwks(plain))) == ["first"]
