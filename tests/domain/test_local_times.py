"""Local times: gaps, overlaps, and zones that come from the package alone."""

import zoneinfo
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsched.domain.local_times import (
    AmbiguousLocalTime,
    Fold,
    LocalTime,
    NoSuchLocalTime,
    text_of,
    zone_named,
    zone_names,
    zone_of,
)

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"
TEHRAN = "Asia/Tehran"
APIA = "Pacific/Apia"
CHANGING = [BERLIN, NEW_YORK, LORD_HOWE, TEHRAN, APIA, "Africa/Casablanca", "Asia/Kathmandu", "UTC"]
# In Berlin, New York and on Lord Howe, by month, day and hour.
CHANGES_OF_2026 = [(3, 29, 1), (10, 25, 1), (3, 8, 7), (11, 1, 6), (4, 4, 15), (10, 3, 15)]

zones = st.sampled_from(CHANGING) | st.sampled_from(sorted(zone_names()))
instants = st.datetimes(datetime(1950, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - has a zone


def near_changes() -> st.SearchStrategy[datetime]:
    """Instants around changes of clocks, where mistakes would be."""
    changes = [datetime(2026, month, day, hour, tzinfo=UTC) for month, day, hour in CHANGES_OF_2026]
    minutes = st.integers(min_value=-150, max_value=150).map(lambda n: timedelta(minutes=n))
    return st.builds(lambda change, length: change + length, st.sampled_from(changes), minutes)


def _read_zones_from(folder: str) -> Callable[[], None]:
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([folder])
    return lambda: zoneinfo.reset_tzpath(before)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("2026-01-15T09:00", BERLIN, "2026-01-15T08:00Z"),
        ("2026-07-15T09:00:30", BERLIN, "2026-07-15T07:00:30Z"),
        ("2026-03-29T01:59:59", BERLIN, "2026-03-29T00:59:59Z"),
        ("2026-03-29T03:00", BERLIN, "2026-03-29T01:00Z"),
        ("2026-10-25T01:59:59", BERLIN, "2026-10-24T23:59:59Z"),
        ("2026-10-25T03:00", BERLIN, "2026-10-25T02:00Z"),
        ("2026-03-08T03:00", NEW_YORK, "2026-03-08T07:00Z"),
        ("2026-11-01T02:00", NEW_YORK, "2026-11-01T07:00Z"),
        ("2026-10-04T02:30", LORD_HOWE, "2026-10-03T15:30Z"),
        ("2026-04-05T02:00", LORD_HOWE, "2026-04-04T15:30Z"),
        ("2022-03-22T01:00", TEHRAN, "2022-03-21T20:30Z"),
        ("2026-03-22T00:30", TEHRAN, "2026-03-21T21:00Z"),
        ("2011-12-29T23:59:59", APIA, "2011-12-30T09:59:59Z"),
        ("2011-12-31T00:00", APIA, "2011-12-30T10:00Z"),
        ("2096-07-01T09:00", BERLIN, "2096-07-01T07:00Z"),
    ],
)
def test_a_local_time_is_an_instant_by_the_rules_of_its_zone(text: str, zone: str, instant: str) -> None:
    assert LocalTime.parse(text, zone).instant() == utc(instant)


@pytest.mark.parametrize(
    ("text", "zone", "start", "end", "earlier", "later"),
    [
        (
            "2026-03-29T02:30", BERLIN, "2026-03-29T02:00:00", "2026-03-29T03:00:00",
            "2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00",
        ),
        (
            "2026-03-29T02:00", BERLIN, "2026-03-29T02:00:00", "2026-03-29T03:00:00",
            "2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00",
        ),
        (
            "2026-03-08T02:59:59", NEW_YORK, "2026-03-08T02:00:00", "2026-03-08T03:00:00",
            "2026-03-08T01:59:59-05:00", "2026-03-08T03:59:59-04:00",
        ),
        (
            "2026-10-04T02:10", LORD_HOWE, "2026-10-04T02:00:00", "2026-10-04T02:30:00",
            "2026-10-04T01:40:00+10:30", "2026-10-04T02:40:00+11:00",
        ),
        (
            "2022-03-22T00:30", TEHRAN, "2022-03-22T00:00:00", "2022-03-22T01:00:00",
            "2022-03-21T23:30:00+03:30", "2022-03-22T01:30:00+04:30",
        ),
        (
            "2011-12-30T12:00", APIA, "2011-12-30T00:00:00", "2011-12-31T00:00:00",
            "2011-12-29T12:00:00-10:00", "2011-12-31T12:00:00+14:00",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("fold", [None, *Fold])
def test_a_local_time_in_a_gap_does_not_exist_whatever_the_fold(
    text: str, zone: str, start: str, end: str, earlier: str, later: str, fold: Fold | None
) -> None:
    with pytest.raises(NoSuchLocalTime) as caught:
        LocalTime.parse(text, zone, fold).instant()

    assert str(caught.value) == (
        f"does not exist in {zone}: the clocks go from {start} to {end}; take {earlier} or {later}"
    )


@pytest.mark.parametrize(
    ("text", "zone", "earlier", "later"),
    [
        ("2026-10-25T02:00", BERLIN, "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"),
        ("2026-10-25T02:59:59", BERLIN, "2026-10-25T02:59:59+02:00", "2026-10-25T02:59:59+01:00"),
        ("2026-11-01T01:30", NEW_YORK, "2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00"),
        ("2026-04-05T01:45", LORD_HOWE, "2026-04-05T01:45:00+11:00", "2026-04-05T01:45:00+10:30"),
        ("2022-09-21T23:30", TEHRAN, "2022-09-21T23:30:00+04:30", "2022-09-21T23:30:00+03:30"),
        ("2021-04-04T03:30", APIA, "2021-04-04T03:30:00+14:00", "2021-04-04T03:30:00+13:00"),
    ],
)
def test_a_local_time_that_exists_twice_needs_a_fold(text: str, zone: str, earlier: str, later: str) -> None:
    with pytest.raises(AmbiguousLocalTime) as caught:
        LocalTime.parse(text, zone).instant()

    assert str(caught.value) == (
        f"exists twice in {zone}, as {earlier} and {later}: 'fold' chooses, by 'earlier' or 'later'"
    )
    assert LocalTime.parse(text, zone, Fold.EARLIER).instant() == utc(earlier)
    assert LocalTime.parse(text, zone, Fold.LATER).instant() == utc(later)


@pytest.mark.parametrize("fold", list(Fold))
def test_a_fold_has_no_effect_where_the_time_exists_once(fold: Fold) -> None:
    assert LocalTime.parse("2026-07-15T09:00", BERLIN, fold).instant() == utc("2026-07-15T07:00Z")


def test_a_fraction_of_a_second_moves_no_edge_of_the_gap() -> None:
    wall = datetime(2026, 3, 29, 2, 30, 0, 500_000)  # noqa: DTZ001 - a wall time

    with pytest.raises(NoSuchLocalTime, match="go from 2026-03-29T02:00:00 to 2026-03-29T03:00:00; take"):
        LocalTime(wall, BERLIN).instant()


@given(instants | near_changes(), zones)
def test_the_local_time_of_an_instant_is_that_instant(instant: datetime, zone: str) -> None:
    assert LocalTime.of(instant, zone).instant() == instant


@pytest.mark.parametrize(
    ("instant", "fold"),
    [
        ("2026-10-25T00:30Z", Fold.EARLIER),
        ("2026-10-25T01:30Z", Fold.LATER),
        ("2026-10-25T02:00Z", None),
        ("2026-10-24T23:59:59Z", None),
    ],
)
def test_the_local_time_of_an_instant_has_a_fold_only_where_it_exists_twice(instant: str, fold: Fold | None) -> None:
    assert LocalTime.of(utc(instant), BERLIN).fold is fold


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-07-15", "2026-07-15T09", "2026-07-15 09:00", "2026-07-15t09:00", "2026-07-15T9:00",
        "2026-07-15T24:00", "2026-07-15T09:60", "2026-07-15T09:00:60", "2026-07-15T09:00:00.5", "2026-07-15T09:00Z",
        "2026-07-15T09:00+02:00", "2026-07-15T09:00\n", "+2026-07-15T09:00", "2026-W29-3T09:00", "٢٠٢٦-07-15T09:00",
        None, 1, ["2026-07-15T09:00"],
    ],
)  # fmt: skip
def test_what_is_no_local_time_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match="must be a local time without an offset, like '2027-01-31T09:00'"):
        LocalTime.parse(text, BERLIN)


@pytest.mark.parametrize("text", ["2026-02-29T09:00", "2026-13-01T09:00", "2026-00-01T09:00", "0000-01-01T09:00"])
def test_a_local_time_of_no_calendar_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a date of the calendar"):
        LocalTime.parse(text, BERLIN)


@pytest.mark.parametrize(("text", "zone"), [("0001-01-01T00:00", "Asia/Tokyo"), ("9999-12-31T23:59", NEW_YORK)])
def test_a_local_time_beyond_the_calendar_in_utc_is_refused(text: str, zone: str) -> None:
    with pytest.raises(ValueError, match="must be in the years 0001 to 9999 also in UTC"):
        LocalTime.parse(text, zone).instant()


@pytest.mark.parametrize(
    ("instant", "zone"), [("9999-12-31T23:00+00:00", "Asia/Tokyo"), ("0001-01-01T00:00+00:00", NEW_YORK)]
)
def test_an_instant_beyond_the_calendar_of_its_zone_is_refused(instant: str, zone: str) -> None:
    with pytest.raises(ValueError, match=f"must be in the years 0001 to 9999 also in {zone}"):
        LocalTime.of(utc(instant), zone)


@pytest.mark.parametrize(
    "name",
    [
        "", "Nowhere/At_All", "Europe", "Europe/", "/Europe/Berlin", "Europe/Berlin/", "Europe/Berlin\n",
        "Europe\\Berlin", "../etc", "../zoneinfo/UTC", "Europe/../UTC", "./UTC", "/etc/localtime", "localtime",
        "posixrules", "leapseconds", "tzdata.zi", "zone.tab", "__init__.py", "posix/UTC", "right/UTC", "+02:00",
        "UTC\0", "UTC+2", "x" * 10_000,
    ],
)  # fmt: skip
def test_what_names_no_zone_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(ValueError, match="must be the IANA name of a time zone, like 'Europe/Berlin'"):
        zone_named(name)


@pytest.mark.parametrize("name", ["europe/berlin", "EUROPE/BERLIN", "Europe/berlin"])
def test_a_zone_in_other_letters_is_refused_with_how_it_is_written(name: str) -> None:
    with pytest.raises(ValueError, match="must be the IANA name of a time zone: it is written 'Europe/Berlin'"):
        zone_named(name)


def test_every_zone_of_the_package_can_be_named() -> None:
    assert {zone_named(name).key for name in zone_names()} == zone_names()


def test_a_zone_is_read_once() -> None:
    assert zone_named(BERLIN) is zone_named(BERLIN)


def test_zones_are_read_from_the_package_where_the_host_has_others(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path_factory.mktemp("zoneinfo")
    (folder / "Europe").mkdir()
    (folder / BERLIN).write_bytes((resources.files("tzdata") / "zoneinfo" / "Asia" / "Tokyo").read_bytes())
    at = datetime(2026, 7, 15, tzinfo=UTC)
    request.addfinalizer(zone_named.cache_clear)
    request.addfinalizer(_read_zones_from(str(folder)))
    zone_named.cache_clear()

    assert at.astimezone(zoneinfo.ZoneInfo.no_cache(BERLIN)).utcoffset() == timedelta(hours=9)
    assert at.astimezone(zone_named(BERLIN)).utcoffset() == timedelta(hours=2)


def test_a_local_time_is_stored_as_its_text_and_the_name_of_its_zone() -> None:
    local = LocalTime.parse("2026-07-15T09:00", BERLIN)

    assert (text_of(local), zone_of(local)) == ("2026-07-15T09:00:00", BERLIN)
    assert text_of(LocalTime.of(utc("2026-07-15T07:00:00.250+00:00"), BERLIN)) == "2026-07-15T09:00:00.250"
    assert (text_of(None), zone_of(None)) == (None, None)
