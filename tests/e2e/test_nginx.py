"""The site of docs/operations.md in a real nginx: TLS, HTTP/2, gzip, a stripped prefix and X-Forwarded-For."""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin

import pytest
import requests
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.processes import PATIENCE_SECONDS, ROOT, a_token, free_port, started, until, web

pytestmark = pytest.mark.extra
FLAGS = "api/admin/flags"
CONTEXT = {"context": {"targetingKey": "ada"}}
# What a site stands in. One process, so that nobody else needs to read the test's folder.
MAIN = """
daemon off;
master_process off;
error_log stderr;
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{site}
}}
"""


class Site(NamedTuple):
    """Where nginx serves flagsched, and the certificate that it shows."""

    origin: str
    certificate: str

    def ask(self, method: str, path: str, *, headers: dict[str, str] | None = None, **sent: Any) -> requests.Response:
        """An admin's request, below the prefix unless `path` is a whole address."""
        authorized = {"Authorization": f"Bearer {a_token()}"} | (headers or {})
        address = urljoin(f"{self.origin}/flags/", path)
        return requests.request(
            method, address, headers=authorized, verify=self.certificate, timeout=PATIENCE_SECONDS, **sent
        )

    def create(self, key: str, environment: str = "production", *, enabled: bool = True) -> requests.Response:
        """A flag that evaluations know."""
        body = {"key": key, "environment": environment, "enabled": enabled}
        answer = self.ask("POST", FLAGS, json=body)
        assert answer.status_code == 201, answer.text
        values = f"api/config/flags?environment={environment}"
        until(lambda: key in self.ask("GET", values).json(), what="the flag is known")
        return answer


def documented_site(**given: str) -> str:
    """The site as docs/operations.md has it, with these values in place of its own."""
    _, _, section = (ROOT / "docs" / "operations.md").read_text().partition("\n## Behind nginx\n")
    site = dedent("".join(re.findall(r"^(?: {4}.*)?\n", section.partition("\n## ")[0], flags=re.MULTILINE)))
    for theirs, ours in given.items():
        assert theirs in site
        site = site.replace(theirs, ours)
    return site


def certify(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "chain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(pem)
    return folder / "chain.pem", folder / "key.pem"


def answers(port: int) -> bool:
    with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture(scope="module")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    url = sa.make_url(f"sqlite:///{shutil.copy(sqlite_template, folder / 'flagsched.db')}")
    chain, key = certify(folder)
    settings = {"FLAGSCHED_PROXIES": "1", "FLAGSCHED_FAILED_SIGN_INS_PER_MINUTE": "3"}
    with web(url, folder / "web.log", **settings) as backend:
        given = {
            "127.0.0.1:8000": backend.removeprefix("http://"),
            "listen 443 ": f"listen 127.0.0.1:{port} ",
            "/etc/ssl/flagsched/fullchain.pem": str(chain),
            "/etc/ssl/flagsched/privkey.pem": str(key),
        }
        configuration = folder / "nginx.conf"
        configuration.write_text(MAIN.format(folder=folder, site=documented_site(**given)))
        command = ["nginx", "-p", str(folder), "-c", str(configuration)]
        with started(command, folder / "nginx.log", {"PATH": "/usr/sbin:/usr/bin"}) as nginx:
            until(lambda: answers(port) or nginx.process.poll() is not None, what="nginx answers")
            assert nginx.process.poll() is None, nginx.log
            yield Site(f"https://127.0.0.1:{port}", str(chain))


def test_a_flag_is_edited_with_the_weak_tag_that_nginx_made(site: Site) -> None:
    site.create("edited")

    shown = site.ask("GET", f"{FLAGS}/edited")
    tag = {"If-Match": shown.headers["ETag"]}
    edited = site.ask("PATCH", f"{FLAGS}/edited", json={"enabled": False}, headers=tag)
    refused = site.ask("PATCH", f"{FLAGS}/edited", json={"enabled": True}, headers=tag)
    archived = site.ask("DELETE", f"{FLAGS}/edited", headers={"If-Match": edited.headers["ETag"]})

    assert (shown.headers["Content-Encoding"], tag["If-Match"][:3]) == ("gzip", 'W/"')
    assert [answer.status_code for answer in (edited, refused, archived)] == [200, 412, 204]


def test_what_the_caller_has_is_not_sent_again_through_gzip(site: Site) -> None:
    site.create("known-to-its-callers")
    paths = [("POST", "ofrep/v1/evaluate/flags", CONTEXT), ("GET", "api/config/flags", None)]

    for method, path, body in paths:
        first = site.ask(method, path, json=body)
        again = site.ask(method, path, json=body, headers={"If-None-Match": first.headers["ETag"]})
        other = site.ask(method, path, json=body, headers={"If-None-Match": 'W/"x"'})
        assert (first.headers["Content-Encoding"], first.headers["ETag"][:3]) == ("gzip", 'W/"')
        assert [answer.status_code for answer in (first, again, other)] == [200, 304, 200]
        assert again.content == b""


def test_location_and_link_lead_on_below_the_prefix(site: Site) -> None:
    created = site.create("linked")
    shown = site.ask("GET", urljoin(created.url, created.headers["Location"]))
    soon = datetime.now(UTC) + timedelta(hours=1)
    instants = [(soon + timedelta(seconds=n)).isoformat() for n in range(5)]
    changes = [{"scheduledAt": at, "updates": {"enabled": True}} for at in instants]
    assert site.ask("POST", f"{FLAGS}/linked/schedule/bulk", json={"schedules": changes}).status_code == 201

    pages, address = [], f"{site.origin}/flags/{FLAGS}/linked/schedule?limit=2"
    while address:
        page = site.ask("GET", address)
        pages.append(len(page.json()))
        address = urljoin(address, page.links["next"]["url"]) if page.links else ""

    assert (shown.status_code, shown.json()) == (200, created.json())
    assert pages == [2, 2, 1]


def test_a_request_that_is_repeated_through_nginx_is_answered_with_the_same_location(site: Site) -> None:
    key = {"Idempotency-Key": "once-behind-nginx"}

    first, again = (site.ask("POST", FLAGS, json={"key": "repeated"}, headers=key) for _ in range(2))

    assert (first.status_code, again.status_code, again.headers["Idempotency-Replayed"]) == (201, 201, "true")
    assert first.headers["Location"] == again.headers["Location"] == "flags/repeated?environment=production"


@pytest.mark.parametrize("user", ["a/b", "a//b", "50% off?", "é#", "a+b c"])
def test_a_user_of_any_name_is_found_through_nginx(site: Site, user: str) -> None:
    flag = f"users-{user.encode().hex()}"
    site.create(flag)

    put = site.ask("POST", f"{FLAGS}/{flag}/users", json={"userId": user, "override": "include"})
    found = site.ask("GET", f"{FLAGS}/{flag}/users/{quote(user, safe='')}")

    assert (put.status_code, found.status_code) == (201, 200)
    assert found.json()["userId"] == user


def test_a_path_of_nginx_names_the_environment_for_a_provider(site: Site) -> None:
    site.create("where")
    site.create("where", "staging", enabled=False)

    production = site.ask("POST", "ofrep/v1/evaluate/flags/where", json=CONTEXT)
    staging = site.ask("POST", f"{site.origin}/staging/ofrep/v1/evaluate/flags/where", json=CONTEXT)

    assert (production.json()["value"], staging.json()["value"]) == (True, False)


def test_the_address_that_nginx_saw_is_counted_and_not_one_that_the_caller_forged(site: Site) -> None:
    def fail(source: str, forged: str) -> int:
        said = curl(
            site, FLAGS, "--interface", source, "-H", f"X-Forwarded-For: {forged}", "-H", "Authorization: Bearer x"
        )
        return said.status

    one = [fail("127.0.0.2", f"203.0.113.{n}") for n in range(8)]
    another = fail("127.0.0.3", "127.0.0.2")

    # Three a minute are allowed; up to six where one minute ends and another begins.
    assert one[:3] == [401] * 3
    assert (one[-1], another) == (429, 401)


class Told(NamedTuple):
    """What curl was told."""

    version: str
    status: int
    headers: dict[str, str]
    body: str


def curl(site: Site, path: str, *options: str) -> Told:
    """Ask as curl does, by HTTP/2 where the server offers it."""
    command = [
        "curl",
        "-sS",
        "--http2",
        "--cacert",
        site.certificate,
        "-i",
        "--compressed",
        "--max-time",
        str(PATIENCE_SECONDS),
    ]
    address = f"{site.origin}/flags/{path}"
    answer = subprocess.run(
        [*command, *options, address], capture_output=True, text=True, check=True, timeout=20
    ).stdout
    head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
    first, *lines = head.splitlines()
    version, status = first.split()[:2]
    return Told(version, int(status), dict(line.lower().split(": ", 1) for line in lines), body)


def test_flags_are_made_edited_and_evaluated_by_http_2(site: Site) -> None:
    def ask(method: str, path: str, body: object, *options: str) -> Told:
        sent = ["-X", method, "-H", f"Authorization: Bearer {a_token()}", "-H", "Content-Type: application/json"]
        return curl(site, path, *sent, "-d", json.dumps(body), *options)

    created = ask("POST", FLAGS, {"key": "by-http-2", "enabled": True})
    edited = ask(
        "PATCH",
        f"{FLAGS}/by-http-2",
        {"enabled": False},
        "-H",
        f"If-Match: {created.headers['etag'].replace('w/', 'W/')}",
    )
    told = ask("POST", "ofrep/v1/evaluate/flags/by-http-2", CONTEXT)
    too_much = ask("POST", "ofrep/v1/evaluate/flags/by-http-2", {"context": {f"name{n}": n for n in range(1001)}})

    assert {answer.version for answer in (created, edited, told, too_much)} == {"HTTP/2"}
    assert [answer.status for answer in (created, edited, told, too_much)] == [201, 200, 200, 400]
    assert created.headers["location"] == "flags/by-http-2?environment=production"
    assert json.loads(told.body)["value"] is False
    assert json.loads(too_much.body)["errorCode"] == "INVALID_CONTEXT"
