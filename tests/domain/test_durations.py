"""Durations: what is accepted, and where days and hours lead when the clocks change."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsched.domain.durations import MAX_DAYS, NOT_A_DURATION, Duration
from flagsched.domain.local_times import AmbiguousLocalTime, Fold, LocalTime, NoSuchLocalTime, zone_named
from tests.builders import NOON

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"
TEHRAN = "Asia/Tehran"
APIA = "Pacific/Apia"

NO_YEARS = "must have no years and no months, which have no fixed length: use days, like 'P30D'"
WHOLE = "must have whole numbers, like 'PT90M'"
TOO_LONG = "must be at most 3660 days"
TOO_MANY_DIGITS = "must have no number of more than 10 digits"

lengths = st.builds(
    lambda days, seconds, sign: Duration(sign * days, sign * seconds),
    st.integers(min_value=0, max_value=MAX_DAYS - 1000),
    st.integers(min_value=0, max_value=1000 * 86_400),
    st.sampled_from([1, -1]),
)


@pytest.mark.parametrize(
    ("text", "length", "printed"),
    [
        ("P2W", Duration(14), "P14D"),
        ("P1W1D", Duration(8), "P8D"),
        ("P1D", Duration(1), "P1D"),
        ("PT24H", Duration(0, 86_400), "PT24H"),
        ("PT90M", Duration(0, 5400), "PT1H30M"),
        ("P1DT12H30M", Duration(1, 45_000), "P1DT12H30M"),
        ("P1WT1S", Duration(7, 1), "P7DT1S"),
        ("-PT30M", Duration(0, -1800), "-PT30M"),
        ("-P1DT1H", Duration(-1, -3600), "-P1DT1H"),
        ("PT0S", Duration(), "PT0S"),
        ("-P0D", Duration(), "PT0S"),
        ("PT0000000001H", Duration(0, 3600), "PT1H"),
        ("P3660D", Duration(3660), "P3660D"),
        ("PT87840H", Duration(0, 3660 * 86_400), "PT87840H"),
    ],
)
def test_a_duration_is_read_and_printed_as_iso_8601_has_it(text: str, length: Duration, printed: str) -> None:
    assert Duration.parse(text) == length
    assert str(length) == printed


@given(lengths)
def test_a_printed_duration_reads_back(length: Duration) -> None:
    assert Duration.parse(str(length)) == length


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        *((text, NOT_A_DURATION) for text in (
            "", "P", "PT", "-P", "-PT", "P1DT", "1D", "24h", "D1", "PD", "PTH", "P1", "P-1D", "+P1D", "--P1D", "p1d",
            "P1d", " P1D", "P1D ", "P1D\n", "P 1D", "P1H", "PT1D", "PT1W", "P1D1W", "PT1M1H", "PT1S1M", "P1D1D",
            "P٣D", "P1DT1H/P1D", "PT1e3S", "P0001-00-00T00:00:00", "PT1_0S",
        )),
        *((text, NO_YEARS) for text in ("P1Y", "P1M", "-P1M", "P1Y2M3D", "P1M1D", "P1MT1H")),
        *((text, WHOLE) for text in ("P1.5D", "PT1,5H", "PT0.5S", "P.5D", "P1DT1.S")),
        *((text, TOO_LONG) for text in (
            "P3661D", "-P3661D", "P523W", "P3660DT1S", "PT87841H", "P9999999999D", "PT9999999999S", "-P9999999999W",
        )),
        *((text, TOO_MANY_DIGITS) for text in ("P99999999999D", "PT00000000001H", "P1DT" + "9" * 10_000 + "S")),
    ],
)  # fmt: skip
def test_what_is_no_duration_is_refused_with_its_fault(text: str, fault: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        Duration.parse(text)

    assert str(caught.value) == fault


@pytest.mark.parametrize("text", ["P" + "9" * 300_000 + "x", "P" + "1D" * 150_000, "P1" + "." * 300_000 + "x"])
def test_a_long_text_is_refused_in_linear_time(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        Duration.parse(text)


@given(st.text(st.sampled_from("-+P0123456789WDTHMSY., ")))
def test_a_text_is_a_duration_or_is_refused_with_a_reason(text: str) -> None:
    try:
        assert abs(Duration.parse(text).exact) <= timedelta(days=MAX_DAYS)
    except ValueError as error:
        assert str(error).startswith("must ")  # noqa: PT017 - of either outcome


def test_days_and_seconds_that_go_in_opposite_directions_are_no_duration() -> None:
    with pytest.raises(ValueError, match="opposite directions"):
        Duration(1, -3600)


@pytest.mark.parametrize(
    ("zone", "start", "text", "end"),
    [
        (BERLIN, "2026-03-28T09:00+01:00", "P1D", "2026-03-29T09:00+02:00"),
        (BERLIN, "2026-03-28T09:00+01:00", "PT24H", "2026-03-29T10:00+02:00"),
        (BERLIN, "2026-10-24T09:00+02:00", "P1D", "2026-10-25T09:00+01:00"),
        (BERLIN, "2026-10-24T09:00+02:00", "PT24H", "2026-10-25T08:00+01:00"),
        (BERLIN, "2026-10-20T09:00+02:00", "P1W", "2026-10-27T09:00+01:00"),
        (BERLIN, "2026-10-26T09:00+01:00", "-P2D", "2026-10-24T09:00+02:00"),
        (BERLIN, "2026-10-26T09:00+01:00", "-PT48H", "2026-10-24T10:00+02:00"),
        (NEW_YORK, "2026-03-07T12:00-05:00", "P1D", "2026-03-08T12:00-04:00"),
        (NEW_YORK, "2026-03-07T12:00-05:00", "PT24H", "2026-03-08T13:00-04:00"),
        (LORD_HOWE, "2026-04-04T09:00+11:00", "P1D", "2026-04-05T09:00+10:30"),
        (LORD_HOWE, "2026-04-04T09:00+11:00", "PT24H", "2026-04-05T08:30+10:30"),
        (TEHRAN, "2022-03-21T09:00+03:30", "P1D", "2022-03-22T09:00+04:30"),
        (TEHRAN, "2026-03-21T09:00+03:30", "P1D", "2026-03-22T09:00+03:30"),
        (APIA, "2011-12-29T09:00-10:00", "P2D", "2011-12-31T09:00+14:00"),
        (APIA, "2011-12-29T09:00-10:00", "PT24H", "2011-12-31T09:00+14:00"),
    ],
)
def test_days_keep_the_local_hour_and_hours_are_exact(zone: str, start: str, text: str, end: str) -> None:
    reached = Duration.parse(text).after(datetime.fromisoformat(start), zone_named(zone))

    assert reached == datetime.fromisoformat(end)


def test_days_come_before_hours() -> None:
    start = datetime.fromisoformat("2026-03-27T22:00+01:00")

    assert Duration.parse("P1DT5H").after(start, zone_named(BERLIN)) == datetime.fromisoformat("2026-03-29T04:00+02:00")


def test_an_instant_in_an_overlap_is_left_by_the_hour_that_its_clocks_show() -> None:
    second_time = datetime.fromisoformat("2026-10-25T02:30+01:00")

    assert Duration(1).after(second_time, zone_named(BERLIN)) == datetime.fromisoformat("2026-10-26T02:30+01:00")


@given(lengths)
def test_without_a_zone_a_day_has_24_hours(length: Duration) -> None:
    assert length.after(NOON, None) == NOON + timedelta(hours=24 * length.days, seconds=length.seconds)


@given(
    lengths,
    st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - has a zone
    st.sampled_from([BERLIN, NEW_YORK, LORD_HOWE, TEHRAN, APIA]),
)
def test_days_lead_to_the_same_time_of_day_or_are_refused(length: Duration, start: datetime, zone: str) -> None:
    try:
        reached = Duration(length.days).after(start, zone_named(zone), Fold.EARLIER)
    except NoSuchLocalTime:
        return

    walked = LocalTime.of(reached, zone).wall - LocalTime.of(start, zone).wall
    assert walked == timedelta(days=length.days)


@pytest.mark.parametrize(
    ("zone", "start", "text", "message"),
    [
        (
            BERLIN, "2026-03-28T02:30+01:00", "P1DT6H",
            "leads to 2026-03-29T02:30:00, which does not exist in Europe/Berlin: the clocks go from "
            "2026-03-29T02:00:00 to 2026-03-29T03:00:00; "
            "take 2026-03-29T01:30:00+01:00 or 2026-03-29T03:30:00+02:00",
        ),
        (
            APIA, "2011-12-29T09:00-10:00", "P1D",
            "leads to 2011-12-30T09:00:00, which does not exist in Pacific/Apia: the clocks go from "
            "2011-12-30T00:00:00 to 2011-12-31T00:00:00; "
            "take 2011-12-29T09:00:00-10:00 or 2011-12-31T09:00:00+14:00",
        ),
    ],
)  # fmt: skip
def test_days_that_lead_into_a_gap_are_refused(zone: str, start: str, text: str, message: str) -> None:
    with pytest.raises(NoSuchLocalTime) as caught:
        Duration.parse(text).after(datetime.fromisoformat(start), zone_named(zone), Fold.EARLIER)

    assert str(caught.value) == message


def test_days_that_lead_to_a_time_that_exists_twice_need_a_fold() -> None:
    start, zone = datetime.fromisoformat("2026-10-24T02:30+02:00"), zone_named(BERLIN)

    with pytest.raises(AmbiguousLocalTime) as caught:
        Duration(1).after(start, zone)

    assert str(caught.value) == (
        "leads to 2026-10-25T02:30:00, which exists twice in Europe/Berlin, "
        "as 2026-10-25T02:30:00+02:00 and 2026-10-25T02:30:00+01:00"
    )
    assert Duration(1).after(start, zone, Fold.EARLIER) == datetime.fromisoformat("2026-10-25T02:30+02:00")
    assert Duration(1).after(start, zone, Fold.LATER) == datetime.fromisoformat("2026-10-25T02:30+01:00")


def test_hours_that_end_in_an_overlap_need_no_fold() -> None:
    start = datetime.fromisoformat("2026-10-25T02:30+02:00")

    reached = Duration.parse("PT1H").after(start, zone_named(BERLIN))

    assert reached == datetime.fromisoformat("2026-10-25T02:30+01:00")


@pytest.mark.parametrize("zone", [None, BERLIN, NEW_YORK])
@pytest.mark.parametrize(
    ("start", "length"),
    [
        (datetime(9999, 12, 30, tzinfo=UTC), Duration(3)),
        (datetime(9999, 12, 31, 20, tzinfo=UTC), Duration(0, 5 * 3600)),
        (datetime(1, 1, 2, tzinfo=UTC), Duration(-3)),
    ],
)
def test_a_length_that_leads_out_of_the_calendar_is_refused(
    start: datetime, length: Duration, zone: str | None
) -> None:
    with pytest.raises(ValueError, match="leads out of the calendar"):
        length.after(start, zone_named(zone) if zone else None)
