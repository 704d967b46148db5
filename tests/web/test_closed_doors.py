"""Requests that must be refused: the right status, as JSON, and nothing stored. On both databases."""

import base64
import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from flagsched.bootstrap.web import create_app
from flagsched.database.clock import HostClock
from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.web.auth import make_token
from tests.builders import NOON, ManualClock, after
from tests.databases import PostgresqlDatabases
from tests.openapi import Contract
from tests.rows import count, counts
from tests.services import web_settings

FLAGS = "/api/admin/flags"
FLAG = f"{FLAGS}/new-checkout"
SCHEDULE = f"{FLAG}/schedule"
BULK = f"{SCHEDULE}/bulk"
PREVIEW = f"{SCHEDULE}/preview"
TIMELINE = f"{FLAG}/timeline"
USERS = f"{FLAG}/users"
HISTORY = "/api/admin/history"
AGENDA = "/api/admin/schedules"
PLANS = "/api/admin/plans"
MISSING = f"{PLANS}/00000000-0000-0000-0000-000000000000"
PUT = "/api/admin/named-plans/launch"
CONFIG = "/api/config/flags"
NOW = "2096-06-01T12:00:00Z"
AHEAD = "2096-06-01T13:00:00Z"


TABLES = (
    "feature_flags",
    "feature_flag_schedules",
    "feature_flag_overrides",
    "feature_flag_history",
    "feature_flag_idempotency",
    "feature_flag_plans",
)


class Doors(NamedTuple):
    """Who knocks, and what must stay as it is."""

    admin: FlaskClient
    engine: sa.Engine


class Request(NamedTuple):
    """A request and the status that it deserves."""

    status: int
    method: str
    path: str
    body: bytes | None = None
    content_type: str | None = "application/json"
    headers: dict[str, str] = {}


def post(status: int, path: str, body: Any, **other: Any) -> Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(status, "POST", path, raw, **other)


def single(**changed: Any) -> dict[str, Any]:
    return {"scheduledAt": AHEAD, "updates": {"enabled": True}} | changed


def updates(**changed: Any) -> dict[str, Any]:
    return single(updates=changed)


def raw_updates(text: str) -> bytes:
    return f'{{"scheduledAt": "{AHEAD}", "updates": {text}}}'.encode()


def user(**changed: Any) -> dict[str, Any]:
    return {"userId": "eve", "override": "include"} | changed


def listed(*changes: Any, **changed: Any) -> dict[str, Any]:
    return {"changes": list(changes)} | changed


def change(**changed: Any) -> dict[str, Any]:
    return {"flagKey": "new-checkout"} | single() | changed


def rollout(**changed: Any) -> dict[str, Any]:
    return {"flags": ["new-checkout"], "startAt": AHEAD, "steps": [{"updates": {"enabled": True}}]} | changed


def ramp(**changed: Any) -> dict[str, Any]:
    made = {"from": 0, "to": 100, "steps": 5, "every": "PT1H"} | changed
    return {"flags": ["new-checkout"], "startAt": AHEAD, "ramp": made}


def made_up(place: Any) -> str:
    """A cursor of somebody's own making."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


ODD: list[Any] = [5, -1, True, [], {}, 2**70, None, "x"]
PLACES: list[Any] = [
    [],
    ["2096-06-01T12:00:00Z"],
    ["2096-06-01T12:00:00Z", "1"],
    [1, 1],
    ["2096-06-01T12:00:00Z", True],
    {},
    "x",
]
INSTANTS: list[Any] = [
    "2096-06-01T13:00:00", "2096-06-01", "2026-W23-1T13:00:00Z", "20260601T130000Z", "2096-06-01T13:00:00,5Z",
    "2096-06-01T24:00:00Z", "2096-06-01T13:00:60Z", "2096-06-01T13:60:00Z", "10000-01-01T00:00:00Z", "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", " 2096-06-01T13:00:00Z", "2096-06-01T13:00:00Z ",
    "2096-06-01T13:00:00Z\n", "٢٠٢٦-٠٦-٠١T١٣:٠٠:٠٠Z", "2096-06-01T13:00:00", "2096-06-01 13:00:00Z",
    "2096-06-01T13:00:00zz", "2096-06-01T13:00:00+0900", "2096-06-01T13:00:00+24:00", "2096-06-01T13:00Z", "2026-152T13:00:00Z",
    "2026-02-29T13:00:00Z", "2026-13-01T13:00:00Z", "now", "", None, 1780318800, 1780318800.5, True, [], {}, "\x00", "\ud800",
    "2096-06-01T12:00:00Z", "2096-06-01T11:59:59.999Z", "2097-06-03T12:00:00Z", "9999-12-31T23:59:59Z",
]  # fmt: skip
BOOLEANS: list[Any] = ["true", 1, 0, None, [], {}, "", 1.0]
PERCENTAGES: list[Any] = [25.0, "25", True, None, -1, 101, 10**400, [], {}, "", "٢"]
RAW_UPDATES = [
    '{"enabled": NaN}', '{"rolloutPercentage": Infinity}', '{"rolloutPercentage": -Infinity}', '{"rolloutPercentage": 1e400}',
    '{"rolloutPercentage": 1e1}', '{"enabled": true, "enabled": true}', '{"enabled": true, "rolloutPercentage": 9, "enabled": false}',
    "{enabled: true}", "{'enabled': true}", '{"enabled": true,}', '{"rolloutPercentage": 012}', '{"rolloutPercentage": +5}',
    '{"rolloutPercentage": 0x10}', '{"enabled": true} // off', '{"enabled": True}', "undefined", '{"enabled": tru}',
    '{"\\u0000": true}', '{"\\ud800": true}', '{"rolloutPercentage": ' + "9" * 5000 + "}",
]  # fmt: skip
BODIES: list[tuple[str, bytes]] = [
    ("empty", b""), ("space", b" "), ("array", b"[]"), ("string", b'"x"'), ("number", b"7"), ("null", b"null"), ("true", b"true"),
    ("trailing", b'{"schedules": []} x'), ("two", b"{}{}"), ("cut", b'{"schedules": ['), ("utf-16", '{"schedules": []}'.encode("utf-16")),
    ("utf-8 broken", b'{"schedules": "\xff"}'), ("overlong", b'{"schedules": "\xc0\x80"}'), ("bom", b'\xef\xbb\xbf{"schedules": []}'),
    ("control", b'{"schedules": "\x01"}'), ("nul", b'{"schedules": []}\x00'), ("deep arrays", b"[" * 5000 + b"]" * 5000),
    ("deep objects", b'{"a":' * 5000 + b"1" + b"}" * 5000), ("deep inside", b'{"schedules": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    ("unknown", b'{"schedules": [], "x": 1}'), ("missing", b"{}"), ("object for array", b'{"schedules": {}}'),
    ("string for array", b'{"schedules": "x"}'), ("null for array", b'{"schedules": null}'),
    ("101 names", b"{" + b",".join(b'"%d": 1' % n for n in range(101)) + b"}"),
    ("20,000 items", b'{"schedules": [' + b",".join([b"{}"] * 20_000) + b"]}"),
]  # fmt: skip
ITEMS: list[Any] = [1, "x", None, [], True, {}, {"scheduledAt": AHEAD}, {"updates": {"enabled": True}}, single(note="x"),
                    updates(), updates(name="x"), single(updates=None), single(updates=[]), single(updates="x")]  # fmt: skip
TEXTS: list[Any] = ["\x00", "\ud800", 7, None, [], {}, True]
LENGTHS: list[Any] = [
    "",
    "P",
    "PT",
    "P1M",
    "P1Y",
    "PT1.5H",
    "P-1D",
    "p1d",
    "1h",
    "P1DT",
    "PT1H ",
    "P٣D",
    "P" + "9" * 5000 + "D",
    "P99999D",
    "\x00",
    7,
    None,
    [],
    {},
]
ZONES: list[Any] = [
    "",
    "x",
    "../../etc/passwd",
    "/etc/localtime",
    "Europe/Berlin\x00",
    "europe/berlin",
    "Europe",
    "localtime",
    "+02:00",
    "\ud800",
    7,
    None,
    [],
    {},
]
LOCAL_TIMES: list[Any] = [
    "",
    "2096-06-02",
    "2096-06-02 09:00",
    "2096-06-02T09",
    "2096-06-02T09:00Z",
    "2096-06-02T09:00:00.5",
    "2096-06-02T24:00",
    "2096-06-31T09:00",
    "0000-01-01T00:00",
    "0001-01-01T00:00",
    "9999-12-31T23:59",
    "2096-06-01T13:00",
    "\x00",
    7,
    None,
    [],
    {},
]
FOLDS: list[Any] = ["", "first", "LATER", 0, 1, None, [], {}]
KEYS: list[Any] = ["", "a b", "é", "-a", "a" * 101, "a\n", "a/b", "\x00", "\ud800", 7, None, [], {}]
LISTS: list[Any] = ["x", 7, None, True, {}, [], [1], [None], [[]], ["x"] * 201]
OVERRIDES: list[Any] = [
    "x",
    7,
    None,
    [],
    {},
    {"userId": "ada"},
    {"set": "include"},
    {"userId": "", "set": "include"},
    {"userId": "ada", "set": "on"},
    {"userId": "\x00", "set": "include"},
    {"userId": "x" * 257, "set": "include"},
    {"userId": "ada", "set": "include", "x": 1},
]
PLANS_REFUSED: dict[str, Any] = {
    **{f"instant {at!r}": listed(change(scheduledAt=at)) for at in INSTANTS},
    **{f"start {at!r}": rollout(startAt=at) for at in INSTANTS},
    **{f"enabled {value!r}": listed(change(updates={"enabled": value})) for value in BOOLEANS},
    **{f"percentage {value!r}": rollout(steps=[{"updates": {"rolloutPercentage": value}}]) for value in PERCENTAGES},
    **{f"list of {bad!r}": listed(change(), bad) for bad in ITEMS},
    **{f"{field} {value!r}"[:60]: rollout(**{field: value}) for field in ("title", "description") for value in [*TEXTS, "x" * 1001]},
    **{f"{field} {value!r}"[:60]: rollout(**{field: value}) for field in ("flags", "steps", "environments") for value in LISTS},
    **{f"changes {value!r}"[:60]: listed(changes=value) for value in LISTS},
    **{f"key {value!r}"[:60]: listed(change(flagKey=value)) for value in KEYS},
    **{f"key in flags {value!r}"[:60]: rollout(flags=[value]) for value in KEYS},
    **{f"environment {value!r}"[:60]: listed(change(environment=value)) for value in ["", "A", "a b", "x" * 65, 7, None]},
    **{f"environments {value!r}"[:60]: rollout(environments=[value]) for value in [{}, {"name": "A"}, {"name": 7}, {"name": "production", "x": 1}, "production"]},
    **{f"offset {value!r}"[:60]: rollout(environments=[{"name": "production", "offset": value}]) for value in [*LENGTHS, "-PT1S", "P367D"]},
    **{f"after {value!r}"[:60]: rollout(steps=[{"updates": {"enabled": True}, "after": value}]) for value in [*LENGTHS, "-PT1S", "P367D"]},
    **{f"every {value!r}"[:60]: ramp(every=value) for value in [*LENGTHS, "-PT1S", "PT0S", "P100D"]},
    **{f"ramp {value!r}"[:60]: rollout(ramp=value) for value in ["x", 7, None, [], {}, {"from": 0}]},
    **{f"ramp from {value!r}"[:60]: ramp(**{"from": value}) for value in PERCENTAGES},
    **{f"ramp steps {value!r}"[:60]: ramp(steps=value) for value in [*(one for one in PERCENTAGES if one != 101), 0, 1, 102]},
    **{f"ramp curve {value!r}": ramp(curve=value) for value in ["", "Linear", 7, None, [], {}]},
    **{f"ramp enabled {value!r}": ramp(enabled=value) for value in [*BOOLEANS, False]},
    "ramp exponential from 0": ramp(curve="exponential"),
    "ramp from 0 to 0": ramp(to=0),
    "ramp with more steps than percentages": ramp(to=3),
    **{f"zone {value!r}"[:60]: rollout(timeZone=value) for value in ZONES},
    **{f"zone of a change {value!r}"[:60]: listed(change(localTime="2096-06-02T09:00", timeZone=value)) for value in ZONES},
    **{f"local time {value!r}": {"flags": ["new-checkout"], "localTime": value, "timeZone": "Asia/Tokyo", "steps": [{"updates": {"enabled": True}}]} for value in LOCAL_TIMES},
    **{f"local time of a change {value!r}": listed({"flagKey": "new-checkout", "localTime": value, "timeZone": "Asia/Tokyo", "updates": {"enabled": True}}) for value in LOCAL_TIMES},
    **{f"fold {value!r}": {k: v for k, v in rollout(localTime="2096-06-02T09:00", timeZone="Asia/Tokyo", fold=value).items() if k != "startAt"} for value in FOLDS},
    **{f"override {value!r}"[:60]: listed({"flagKey": "new-checkout", "scheduledAt": AHEAD, "override": value}) for value in OVERRIDES},
    **{f"override of a step {value!r}"[:60]: rollout(steps=[{"override": value}]) for value in OVERRIDES},
    "updates and override": listed(change(override={"userId": "ada", "set": "include"})),
    "both forms": listed(change()) | rollout(),
    "twins": listed(change(), change()),
    "201 changes": listed(*[change()] * 201),
    "a product of 400": rollout(environments=[{"name": f"e{n}"} for n in range(40)], steps=[{"updates": {"enabled": True}}] * 10),
    "an unknown field": rollout(note="x"),
}  # fmt: skip
QUERIES = [
    *(f"{PLANS}?{query}" for query in [
        "status=", "status=pending", "status=done&status=done", "limit=0", "limit=101", "limit=x", "q=%00", "q=" + "x" * 101, "name=", "name=a%20b", "name=a/b", "x=1",
        "environment=", "environment=A", "batchId=x", "cursor=", "cursor=%00", "cursor=AAAA", "cursor=bnVsbA==",
        *(f"cursor={made_up(place)}" for place in [*PLACES, [NOW, 5], [NOW, "x"], ["x", "00000000-0000-0000-0000-000000000000"], [NOW, "00000000-0000-0000-0000-000000000000", 5]]),
    ]),
    f"{MISSING}?x=1",
    f"{FLAGS}?limit=abc", f"{FLAGS}?limit=-1", f"{FLAGS}?limit=0", f"{FLAGS}?limit=501", f"{FLAGS}?limit=1.0", f"{FLAGS}?limit=",
    f"{FLAGS}?limit=1&limit=2", f"{FLAGS}?limit=%31%00", f"{FLAGS}?limit=+5", f"{FLAGS}?limit=99999999999999999999",
    f"{FLAGS}?cursor=", f"{FLAGS}?cursor=%00", f"{FLAGS}?cursor=AAAA", f"{FLAGS}?cursor=bnVsbA==", f"{FLAGS}?cursor=WyJcdTAwMDAiXQ==",
    f"{FLAGS}?cursor=W1tbXV1d", f"{FLAGS}?cursor=é", f"{FLAGS}?page=1", f"{FLAGS}?environment=Production", f"{FLAGS}?environment=%00",
    f"{FLAGS}?environment=a&environment=b", f"{FLAGS}?q=%00", f"{FLAGS}?q=" + "x" * 101, f"{FLAGS}?q=%ff", f"{FLAGS}?q=%ed%a0%80", f"{FLAGS}?cursor=__5bACIAeAAiAF0A", f"{FLAG}?environment=../x", f"{FLAG}?x=1",
    f"{SCHEDULE}?status=done", f"{SCHEDULE}?status=pending&status=applied", f"{SCHEDULE}?limit=1001", f"{SCHEDULE}?cursor=WzEsMl0=",
    f"{SCHEDULE}?cursor=WyIyMDI2LTA2LTAxVDEyOjAwOjAwWiIsOTk5OTk5OTk5OTk5OTk5OTk5OTk5XQ==", f"{SCHEDULE}?from=x",
    f"{TIMELINE}?from=x", f"{TIMELINE}?to=", f"{TIMELINE}?from={NOW}&to={NOW}", f"{TIMELINE}?from={AHEAD}&to={NOW}",
    f"{TIMELINE}?from=2096-06-01T12:00:00", f"{TIMELINE}?limit=5", f"{TIMELINE}?from={NOW}&from={NOW}",
    f"{AGENDA}?status=done", f"{AGENDA}?batchId=x", f"{AGENDA}?batchId=", f"{AGENDA}?cursor=WzEsMl0=", f"{AGENDA}?limit=501", f"{AGENDA}?flag=x",
    f"{AGENDA}?from={AHEAD}&to={NOW}", f"{AGENDA}?cursor=WyIyMDI2LTA2LTAxVDEyOjAwOjAwWiIsIngiLDFd",
    *(f"{AGENDA}?cursor={made_up([NOW, odd, 5])}" for odd in ODD),
    *(f"{HISTORY}?cursor={made_up(place)}" for place in PLACES),
    f"{HISTORY}?action=x", f"{HISTORY}?action=", f"{HISTORY}?flagKey=", f"{HISTORY}?flagKey=a%20b", f"{HISTORY}?actor=%00", f"{HISTORY}?limit=0",
    f"{HISTORY}?cursor=WyIyMDI2LTA2LTAxVDEyOjAwOjAwWiIsLTFd", f"{HISTORY}?cursor=WyIyMDI2LTA2LTAxVDEyOjAwOjAwWiIsMS41XQ==",
    f"{HISTORY}?from=1", f"{FLAG}/history?from={NOW}", f"{FLAG}/history?cursor=x",
    *(f"{USERS}?cursor={made_up(place)}" for place in [[], [7], [None], [[]], ["a", "b"], ["\x00"], ["\ud800"], [""], ["/"], {}, "x"]),
    f"{USERS}?limit=0", f"{USERS}?limit=501", f"{USERS}?userId=eve", f"{USERS}/eve?x=1", f"{USERS}/eve?environment=",
    f"{CONFIG}?environment=%F0%9F%9A%80", f"{CONFIG}?user=1", f"{CONFIG}/new-checkout?environment=", f"{CONFIG}?environment=x&x=y",
]  # fmt: skip

REFUSED: dict[str, Request] = {
    **{f"instant {at!r}": post(400, SCHEDULE, single(scheduledAt=at)) for at in INSTANTS},
    **{f"enabled {value!r}": post(400, SCHEDULE, updates(enabled=value)) for value in BOOLEANS},
    **{f"percentage {value!r}"[:60]: post(400, SCHEDULE, updates(rolloutPercentage=value)) for value in PERCENTAGES},
    **{f"updates {text}"[:60]: post(400, SCHEDULE, raw_updates(text)) for text in RAW_UPDATES},
    **{f"bulk of {name}": post(400, BULK, body) for name, body in BODIES},
    **{f"good and bad {bad!r}": post(400, BULK, {"schedules": [single(), bad]}) for bad in ITEMS},
    **{f"alone {bad!r}": post(400, SCHEDULE, bad) for bad in ITEMS},
    **{f"query {path}"[:90]: Request(400, "GET", path) for path in QUERIES},
    **{f"flag {key!r}"[:60]: post(400, FLAGS, {"key": key}) for key in ["", "a b", "é", "-a", "a" * 101, "a\n", 7, None, [], "a\x00", "\ud800"]},
    **{f"description {text!r}": post(400, FLAGS, {"key": "a", "description": text}) for text in ["\x00", "\ud800", 7, None, []]},
    **{f"environment {name!r}"[:60]: post(400, FLAGS, {"key": "a", "environment": name}) for name in ["", "A", "a b", "x" * 65, 7, None]},
    **{f"type {kind}": post(415, BULK, {"schedules": [single()]}, content_type=kind)
       for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", None, "", "x",
                    "application/json; charset=utf-16", "application/json; charset=latin-1"]},
    **{f"encoding {name}": post(415, BULK, {"schedules": [single()]}, headers={"Content-Encoding": name})
       for name in ["gzip", "br", "deflate", "x", "identity, gzip"]},
    **{f"match {value!r}": Request(400, "PATCH", FLAG, b'{"enabled": true}', headers={"If-Match": value})
       for value in ["", "1", "x", '"', '"a', "'a'", '"a" "b"', ",", '*, "a"', "W/x", '"a"b', '"a\tb"']},
    **{f"match {value!r}": Request(412, "PATCH", FLAG, b'{"enabled": true}', headers={"If-Match": value})
       for value in ['""', '"a",', ', "a",,"b"', '"1"', '"x.1"', 'W/"a"', '"a", "b"', '"00000000-0000-0000-0000-000000000000.1"']},
    **{f"delete if {value!r}": Request(status, "DELETE", FLAG, headers={"If-Match": value}) for status, value in [(400, "1"), (412, '"1"')]},
    **{f"key {value!r}"[:40]: post(400, path, body, headers={"Idempotency-Key": value})
       for path, body in [(BULK, {"schedules": [single()]}), (SCHEDULE, single()), (FLAGS, {"key": "a"})]
       for value in ["", "a b", "é", "x" * 256, "a\tb"]},
    **{f"preview of {name}": post(400, PREVIEW, body) for name, body in BODIES},
    **{f"preview of {bad!r}": post(400, PREVIEW, {"schedules": [single(), bad]}) for bad in ITEMS},
    **{f"user {value!r}"[:40]: post(400, USERS, user(userId=value))
       for value in ["", "a\n", "\x00", "\x7f", "\x85", "\ud800", "x" * 257, "/a", ".", "..", 7, True, None, [], {}]},
    **{f"override {value!r}": post(400, USERS, user(override=value)) for value in ["", "Include", "both", True, 1, None, [], {}]},
    **{f"reason {value!r}"[:40]: post(400, USERS, user(reason=value)) for value in ["\x00", "\ud800", "x" * 1001, 7, None, []]},
    **{f"user body {bad!r}": post(400, USERS, bad) for bad in [*ITEMS, {"userId": "eve"}, {"override": "include"}, user(until="then")]},
    **{f"user with key {value!r}"[:40]: post(400, USERS, user(), headers={"Idempotency-Key": value}) for value in ["", "a b"]},
    "user of none": post(404, f"{FLAGS}/none/users", user()),
    **{f"user missing {method} {name}"[:60]: Request(404, method, f"{USERS}/{name}")
       for method in ["GET", "DELETE"]
       for name in ["eve", "", "%00", "%0A", "%2F", "%2Fa", "/a", ".", "%2E%2E", "%ff", "%ed%a0%80", "x" * 3000, "a%2Fb", "a/b"]},
    **{f"{method} {path} of {name}"[:110]: Request(400, method, path, json.dumps(body).encode())
       for method, path in [("POST", PLANS), ("PUT", f"{PUT}?dryRun=true")]
       for name, body in PLANS_REFUSED.items()},
    **{f"{method} {path} with body {name}": Request(400, method, path, body)
       for method, path in [("POST", PLANS), ("POST", f"{PLANS}/preview"), ("PUT", PUT), ("PATCH", MISSING)]
       for name, body in BODIES},
    **{f"plan named {value!r}"[:60]: post(400, PLANS, rollout(name=value)) for value in KEYS},
    "plan with a name in path and body": Request(400, "PUT", PUT, json.dumps(rollout(name="launch")).encode()),
    **{f"plan at {name!r}"[:60]: Request(status, "PUT", f"/api/admin/named-plans/{name}", json.dumps(rollout()).encode())
       for status, name in [(404, ""), (404, "a/b"), (404, "a%2Fb"), (404, "%2F"), (400, "."), (400, "%2E%2E"), (400, "a%20b"), (400, "%00"), (400, "%ff"), (400, "x" * 3000)]},
    **{f"dryRun={value}": Request(400, "PUT", f"{PUT}?dryRun={value}", json.dumps(rollout()).encode())
       for value in ["maybe", "", "1", "True", "true&dryRun=false", "%00"]},
    **{f"plan edited by {body!r}"[:60]: Request(400, "PATCH", MISSING, json.dumps(body).encode())
       for body in [{}, {"x": 1}, {"name": "launch"}, *({"shift": one} for one in LENGTHS), *({"title": one} for one in [*TEXTS, "x" * 201])]},
    **{f"{method} missing plan {path}": Request(404, method, path, b'{"title": "x"}' if method == "PATCH" else None)
       for method in ["GET", "PATCH", "DELETE"] for path in [MISSING, f"{PLANS}/x", f"{PLANS}/%00", f"{PLANS}/{'0' * 32}", f"{MISSING}/"]},
    **{f"{method} plan if {value!r}": Request(400, method, MISSING, b'{"title": "x"}' if method == "PATCH" else None, headers={"If-Match": value})
       for method in ["PATCH", "DELETE"] for value in ["", "1", "x", '"', ","]},
    **{f"plan key {value!r}"[:40]: Request(400, method, path, json.dumps(body).encode(), headers={"Idempotency-Key": value})
       for method, path, body in [("POST", PLANS, rollout()), ("PATCH", MISSING, {"title": "x"})] for value in ["", "a b", "é", "x" * 256]},
    "plan of a missing flag": post(404, PLANS, rollout(flags=["none"])),
    "preview of a plan of a missing flag": post(404, f"{PLANS}/preview", rollout(environments=[{"name": "none"}])),
    "plan as a form": post(415, PLANS, b"flags=a", content_type="application/x-www-form-urlencoded"),
    "plan that is too large": post(413, PLANS, b" " * 300_000),
    **{f"method {method} {path}": Request(405, method, path)
       for method, path in [("PUT", PLANS), ("DELETE", PLANS), ("PATCH", PLANS), ("PUT", MISSING), ("POST", MISSING), ("PUT", f"{PLANS}/preview"), ("GET", PUT), ("POST", PUT), ("DELETE", PUT), ("PATCH", PUT)]},
    "preview of the past": post(400, PREVIEW, {"schedules": [single(scheduledAt=NOW)]}),
    "preview of twins": post(400, PREVIEW, {"schedules": [single(), single()]}),
    "preview of 51": post(400, PREVIEW, {"schedules": [{}] * 51}),
    "too large": post(413, BULK, b" " * 300_000),
    "too large for a flag": post(413, FLAGS, b'{"key": "a"}' + b" " * 262_133),
    **{f"missing {path}": Request(404, method, path, b'{"enabled": true}')
       for method, path in [
           ("GET", f"{FLAGS}/none"), ("PATCH", f"{FLAGS}/none"), ("DELETE", f"{FLAGS}/none"), ("GET", f"{FLAGS}/%00"),
           ("GET", f"{FLAGS}/none/timeline"), ("GET", f"{FLAGS}/none/history"), ("GET", f"{FLAGS}/%00/timeline"), ("GET", f"{TIMELINE}/x"),
           ("GET", f"{FLAGS}/none/schedule"), ("GET", f"{SCHEDULE}/x"), ("DELETE", f"{SCHEDULE}/%00"), ("GET", "/api/admin/"),
           ("GET", f"{SCHEDULE}/{'0' * 32}"), ("GET", f"{FLAGS}/"), ("GET", f"{FLAG}/schedule/bulk/x"), ("GET", f"{CONFIG}/none"),
           ("GET", "/api"), ("GET", "/api//config"), ("GET", f"{FLAGS}/{'x' * 3000}"), ("GET", "/.env"), ("GET", f"{CONFIG}/%2e%2e"),
       ]},
    **{f"method {method} {path}": Request(405, method, path)
       for method, path in [
           ("PUT", FLAGS), ("DELETE", FLAGS), ("PATCH", FLAGS), ("OPTIONS", FLAGS), ("TRACE", FLAGS), ("PUT", FLAG), ("PUT", SCHEDULE),
           ("PUT", BULK), ("GET", BULK), ("DELETE", BULK), ("GET", PREVIEW), ("DELETE", PREVIEW), ("PUT", PREVIEW), ("POST", TIMELINE), ("DELETE", HISTORY), ("PATCH", HISTORY), ("POST", AGENDA), ("POST", CONFIG), ("DELETE", CONFIG), ("OPTIONS", CONFIG),
           ("POST", "/healthz"), ("BREW", FLAGS), ("PUT", USERS), ("DELETE", USERS), ("PUT", f"{USERS}/eve"), ("POST", f"{USERS}/eve"),
       ]},
}  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def closed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """An admin's client and a flag that all refused requests share, for none of them changes anything."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        url = sa.make_url(f"sqlite:///{shutil.copy(template, tmp_path_factory.mktemp('closed') / 'flagsched.db')}")
    else:
        url = PostgresqlDatabases(request.getfixturevalue("postgresql")).lend()
    engine = open_engine(url, Limits())
    store = SqlStore(engine, HostClock(ManualClock()))
    refresher = SnapshotRefresher(store)
    app = create_app(web_settings(url), store=store, refresher=refresher)
    contract = Contract(app)
    client = app.test_client()
    with app.app_context():
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {make_token('ada', 'admin', timedelta(hours=1))}"
    assert client.post(FLAGS, json={"key": "new-checkout"}).status_code == 201
    yield Doors(client, engine)
    assert contract.breaches == []
    refresher.close()
    engine.dispose()


@pytest.fixture
def _a_flag(admin: FlaskClient) -> None:
    assert admin.post(FLAGS, json={"key": "new-checkout"}).status_code == 201


def test_the_table_is_long() -> None:
    assert len(REFUSED) > 200


@pytest.mark.parametrize("name", [name.encode("unicode_escape").decode() for name in REFUSED])
def test_it_is_refused_as_json_and_nothing_is_stored(closed: Doors, name: str) -> None:
    request = REFUSED[name.encode().decode("unicode_escape")]

    answer = closed.admin.open(
        request.path,
        method=request.method,
        data=request.body,
        content_type=request.content_type,
        headers=request.headers,
    )

    assert answer.status_code == request.status, answer.text
    assert answer.content_type == "application/json"
    assert answer.json.keys() == {"error", "message", "details", "requestId"}
    assert ("Allow" in answer.headers) == (request.status == 405)
    assert counts(closed.engine, TABLES) == [1, 0, 0, 1, 0, 0]


@pytest.mark.usefixtures("_a_flag")
def test_a_schedule_under_another_flags_url_is_not_found_by_any_method(app: Flask, admin: FlaskClient) -> None:
    admin.post(FLAGS, json={"key": "other"})
    admin.post(f"{FLAGS}?environment=staging", json={"key": "new-checkout"})
    schedule = admin.post(SCHEDULE, json=single()).json["id"]
    methods = {
        method
        for rule in app.url_map.iter_rules()
        if rule.rule.endswith("/schedule/<uuid:schedule_id>")
        for method in rule.methods or set()
    }
    assert methods >= {"GET", "HEAD", "PATCH", "DELETE"}

    for method in methods:
        for path in (f"{FLAGS}/other/schedule/{schedule}", f"{SCHEDULE}/{schedule}?environment=staging"):
            body = {"updates": {"enabled": False}} if method == "PATCH" else None
            assert admin.open(path, method=method, json=body).status_code == 404, (method, path)
    assert admin.get(f"{SCHEDULE}/{schedule}").json["status"] == "pending"


@pytest.mark.usefixtures("_a_flag")
@pytest.mark.parametrize("item", [b"{}", b"1", b"[[]]", b'{"a": 1}'])
def test_a_body_full_of_items_is_answered_within_a_tenth_of_a_second(admin: FlaskClient, item: bytes) -> None:
    body = b'{"schedules": [' + b",".join([item] * 20_000) + b"]}"

    seconds = []
    for _ in range(3):
        began = perf_counter()
        answer = admin.post(BULK, data=body, content_type="application/json")
        seconds.append(perf_counter() - began)
        assert answer.status_code == 400

    assert min(seconds) < 0.1


@pytest.mark.usefixtures("_a_flag")
def test_the_thousand_and_first_pending_schedule_is_too_many(
    admin: FlaskClient, engine: sa.Engine, clock: ManualClock
) -> None:
    def plan(first: int, size: int) -> Any:
        items = [single(scheduledAt=after(first + n).isoformat()) for n in range(size)]
        return admin.post(BULK, json={"schedules": items})

    for batch in range(19):
        assert plan(1 + 50 * batch, 50).status_code == 201
    assert plan(2000, 49).status_code == 201
    too_many = plan(3000, 2)
    assert (too_many.status_code, too_many.json["error"]) == (409, "QUOTA_EXCEEDED")
    assert plan(3000, 1).status_code == 201
    alone = admin.post(SCHEDULE, json=single())
    assert (alone.status_code, alone.json["error"]) == (409, "QUOTA_EXCEEDED")
    assert count(engine, "feature_flag_schedules") == 1000

    clock.at = after(1)
    assert admin.post(SCHEDULE, json=single()).status_code == 201
    assert clock.at > NOON
