"""Instants as callers write them: RFC 3339 is taken, and a refusal says what is wrong."""

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from flagsched.web.schemas.fields import cursor
from flagsched.web.schemas.instants import read_instant
from tests.rows import count

FLAG = "/api/admin/flags/new-checkout"
LIKE = "like '2027-01-31T09:00:00+09:00'"
NOT_AN_INSTANT = f"must be an RFC 3339 date-time with an offset, {LIKE}"
NO_TIME = f"must have a time of day and an offset after the date, {LIKE}"
NO_OFFSET = "must have an offset at its end: 'Z', or one like '+09:00'"
NO_SECONDS = "must have seconds, like '09:00:00'"
TWO_DIGITS_IN_DATE = "must have two digits for month and day, like '2027-01-31'"
TWO_DIGITS_IN_TIME = "must have two digits each for hour, minute and second, like '09:00:00'"
FOUR_DIGITS = "must have a year of four digits"
NO_WEEK = "must name a month and a day, not a week"
NO_DAY_OF_THE_YEAR = "must name a month and a day, not a day of the year"
DATE_ORDER = "must have its date as year, month and day, like '2027-01-31'"
HOUR_24 = "must not have the hour 24: midnight is 00:00:00 of the next day"
COLONS = "must have colons in its time, like '09:00:00'"
OFFSET_RANGE = "must have an offset from -23:59 to +23:59, with minutes from 00 to 59"
NOTHING_ELSE = "must end with an offset, 'Z' or one like '+09:00', and nothing else"
WRITE_2B = "has a blank where '+' or '-' should be: in a query, '+' is written %2B"
BLANKS = "must have no blanks or line breaks around it"
OUTSIDE = "must be in the years 0001 to 9999 also in UTC"
NOT_ASCII = f"{NOT_AN_INSTANT}, in ASCII characters"

FAULTS = {
    "": f"is empty: it {NOT_AN_INSTANT}",
    "tomorrow": NOT_AN_INSTANT,
    "now": NOT_AN_INSTANT,
    "Sun, 31 Jan 2027 09:00:00 GMT": NOT_AN_INSTANT,
    "31 Jan 2027": NOT_AN_INSTANT,
    "T09:00:00Z": NOT_AN_INSTANT,
    "P1D": NOT_AN_INSTANT,
    "1801389600": f"must be a date-time, {LIKE}, not a number",
    "1801389600.5": f"must be a date-time, {LIKE}, not a number",
    " 2027-01-31T09:00:00Z": BLANKS,
    "2027-01-31T09:00:00Z\n": BLANKS,
    "٢٠٢٧-01-31T09:00:00Z": NOT_ASCII,
    "2027-01-31T09:00:00\u221209:00": NOT_ASCII,
    "2027-01-31": NO_TIME,
    "2027-01-31T": NO_TIME,
    "2027-01-31Z": NOT_AN_INSTANT,
    "20270131T090000Z": "must have hyphens in its date, like '2027-01-31'",
    "2027-W04-7T09:00:00Z": NO_WEEK,
    "2027W047T09:00:00Z": NO_WEEK,
    "2027-031T09:00:00Z": NO_DAY_OF_THE_YEAR,
    "2027-1-31T09:00:00Z": TWO_DIGITS_IN_DATE,
    "2027-01-3T09:00:00Z": TWO_DIGITS_IN_DATE,
    "27-01-31T09:00:00Z": FOUR_DIGITS,
    "12027-01-31T09:00:00Z": FOUR_DIGITS,
    "+002027-01-31T09:00:00Z": FOUR_DIGITS,
    "-0001-01-31T09:00:00Z": FOUR_DIGITS,
    "0000-01-31T09:00:00Z": "must have a year from 0001 on",
    "2027/01/31T09:00:00Z": DATE_ORDER,
    "31.01.2027 09:00": DATE_ORDER,
    "2027-13-01T09:00:00Z": "must have a month from 01 to 12",
    "2027-00-01T09:00:00Z": "must have a month from 01 to 12",
    "2027-02-30T09:00:00Z": "is not a date: 2027-02 has the days 01 to 28",
    "2027-02-00T09:00:00Z": "is not a date: 2027-02 has the days 01 to 28",
    "2027-04-31T09:00:00Z": "is not a date: 2027-04 has the days 01 to 30",
    "2027-01-31 09:00:00Z": "must have a 'T' between date and time, not a blank",
    "2027-01-31T09Z": "must have minutes and seconds, like '09:00:00'",
    "2027-01-31T09:00Z": NO_SECONDS,
    "2027-01-31T09:00+09:00": NO_SECONDS,
    "2027-01-31T9:00Z": NO_SECONDS,
    "2027-01-31T0900Z": COLONS,
    "2027-01-31T090000Z": COLONS,
    "2027-01-31T9:00:00Z": TWO_DIGITS_IN_TIME,
    "2027-01-31T24:00:00Z": HOUR_24,
    "2027-01-31T24:00Z": HOUR_24,
    "2027-01-31T25:00:00Z": "must have an hour from 00 to 23",
    "2027-01-31T09:60:00Z": "must have a minute from 00 to 59",
    "2016-12-31T23:59:60Z": "must have a second from 00 to 59: leap seconds (60) are not accepted",
    "2027-01-31T09:00:61Z": "must have a second from 00 to 59",
    "2027-01-31T09:00:00:00Z": NOT_AN_INSTANT,
    "2027-01-31T09:00:00,5Z": "must have a point before the fraction of a second, not a comma",
    "2027-01-31T09:00:00.Z": "must have digits after the point",
    "2027-01-31T09:00:00": NO_OFFSET,
    "2027-01-31T09:00:00.125": NO_OFFSET,
    "2027-01-31T09:00:00 09:00": WRITE_2B,
    "2027-01-31T09:00:00 0900": WRITE_2B,
    "2027-01-31T09:00:00 +09:00": "must have no blank before its offset",
    "2027-01-31T09:00:00 Z": "must have no blank before its offset",
    "2027-01-31T09:00:00+0900": "must have a colon in its offset, like '+09:00'",
    "2027-01-31T09:00:00+09": "must have hours and minutes in its offset, like '+09:00'",
    "2027-01-31T09:00:00+9:00": "must have two digits each for hours and minutes of its offset",
    "2027-01-31T09:00:00+24:00": OFFSET_RANGE,
    "2027-01-31T09:00:00+09:60": OFFSET_RANGE,
    "2027-01-31T09:00:00+09:00:30": "must have an offset of hours and minutes alone, like '+09:00'",
    "2027-01-31T09:00:00 UTC": NOTHING_ELSE,
    "2027-01-31T09:00:00 PM": NOTHING_ELSE,
    "2027-01-31T09:00:00+09:00[Asia/Tokyo]": NOTHING_ELSE,
    "2027-01-31T09:00:00Zulu": NOTHING_ELSE,
    "2027-01-31T09:00:00Z\x00": NOTHING_ELSE,
    "9999-12-31T23:59:59-14:00": OUTSIDE,
    "0001-01-01T00:00:00+14:00": OUTSIDE,
}
OF_ANOTHER_TYPE: list[tuple[Any, str]] = [
    (1801389600, "a number"),
    (1801389600.5, "a number"),
    (True, "a boolean"),
    ([], "an array"),
    ({}, "an object"),
]
TAKEN = {
    "2096-06-07T13:00:00z": "2096-06-07T13:00:00Z",
    "2096-06-07t13:00:00Z": "2096-06-07T13:00:00Z",
    "2096-06-07t13:00:00.125z": "2096-06-07T13:00:00.125Z",
    "2096-06-07t13:00:00+09:00": "2096-06-07T04:00:00Z",
    "2096-06-07T13:00:00.1239999999-00:00": "2096-06-07T13:00:00.123Z",
    "2096-06-07T13:00:00.1+23:59": "2096-06-06T13:01:00.100Z",
    "2096-06-07T13:00:00-23:59": "2096-06-08T12:59:00Z",
}


@pytest.fixture
def flag(admin: FlaskClient) -> None:
    assert admin.post("/api/admin/flags", json={"key": "new-checkout"}).status_code == 201


@pytest.mark.parametrize(("text", "fault"), FAULTS.items(), ids=map(repr, FAULTS))
def test_a_refused_instant_is_told_what_is_wrong_with_it(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
        read_instant(text)


@pytest.mark.usefixtures("flag")
def test_bodies_say_of_each_instant_what_is_wrong(admin: FlaskClient, engine: sa.Engine) -> None:
    cases = [*FAULTS.items(), *((value, f"must be a string {LIKE}, not {kind}") for value, kind in OF_ANOTHER_TYPE)]

    for some in (cases[n : n + 50] for n in range(0, len(cases), 50)):
        items = [{"scheduledAt": value, "updates": {"enabled": True}} for value, _ in some]
        answer = admin.post(f"{FLAG}/schedule/bulk", json={"schedules": items})
        expected = {str(n): {"scheduledAt": [fault]} for n, (_, fault) in enumerate(some)}
        assert (answer.status_code, answer.json["details"]) == (400, {"schedules": expected})

    assert count(engine, "feature_flag_schedules") == 0


@pytest.mark.usefixtures("flag")
def test_queries_say_of_each_instant_what_is_wrong(admin: FlaskClient) -> None:
    for text, fault in FAULTS.items():
        answer = admin.get(f"{FLAG}/timeline?from={quote(text)}")
        assert (answer.status_code, answer.json["details"]) == (400, {"from": [fault]})


@pytest.mark.usefixtures("flag")
@pytest.mark.parametrize("path", [f"{FLAG}/timeline", "/api/admin/schedules", "/api/admin/history"])
def test_a_plus_that_became_a_blank_in_a_query_is_told_how_to_write_it(admin: FlaskClient, path: str) -> None:
    refused, taken = (admin.get(f"{path}?from=2096-06-01T09:00:00{plus}09:00") for plus in ("+", "%2B"))

    assert (refused.status_code, refused.json["details"]) == (400, {"from": [WRITE_2B]})
    assert taken.status_code == 200


@pytest.mark.usefixtures("flag")
@pytest.mark.parametrize(("written", "expected"), TAKEN.items(), ids=TAKEN)
def test_small_letters_and_every_offset_of_rfc_3339_are_taken(admin: FlaskClient, written: str, expected: str) -> None:
    item = {"scheduledAt": written, "updates": {"enabled": True}}

    single = admin.post(f"{FLAG}/schedule", json=item)
    bulk = admin.post(f"{FLAG}/schedule/bulk", json={"schedules": [item]})
    listed = admin.get(f"/api/admin/schedules?from={quote(written)}").json["schedules"]
    placed = admin.get(f"{FLAG}/schedule?cursor={cursor(written, 0)}").json

    assert (single.status_code, single.json["scheduledAt"]) == (201, expected)
    assert (bulk.status_code, bulk.json["schedules"][0]["scheduledAt"]) == (201, expected)
    assert [one["scheduledAt"] for one in listed + placed] == [expected] * 4


def test_a_huge_text_that_is_no_instant_is_refused_at_once() -> None:
    for text in ("9" * 250_000, "2027-01-31T" + "0:" * 125_000, "2027-01-31T09:00:00" + " " * 250_000 + "x"):
        began = datetime.now(UTC)
        with pytest.raises(ValueError, match="must "):
            read_instant(text)
        assert (datetime.now(UTC) - began).total_seconds() < 1
