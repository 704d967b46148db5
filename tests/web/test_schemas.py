"""What reads and writes bodies quickly does what the schemas say."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError

from flagsched.domain.agenda import Agenda
from flagsched.domain.effective import effective_flag, effective_schedules
from flagsched.domain.history import Action, StoredEntry, document_of
from flagsched.domain.overrides import OverrideChange, OverrideType
from flagsched.domain.schedules import Status
from flagsched.domain.segments import segments, transitions
from flagsched.domain.updates import UnreadableUpdates
from flagsched.usecases.timeline import Timeline
from flagsched.web.schemas.flags import FlagListView
from flagsched.web.schemas.history import HistoryView
from flagsched.web.schemas.schedules import (
    BulkCreateScheduleRequest,
    BulkScheduleResponse,
    CreateScheduleRequest,
)
from flagsched.web.schemas.strict import View
from flagsched.web.schemas.timeline import TimelineView
from tests.builders import a_flag, a_schedule, after

anything: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([]) | st.just({})
)
instants = st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat()) | st.sampled_from(
    ["2096-06-01T13:00:00Z", "2096-06-01T13:00:00.1239+09:00", "2096-06-01T13:00:00", "2096-02-30T13:00:00Z", ""]
)
updates = st.dictionaries(
    st.sampled_from(["enabled", "rolloutPercentage", "rollout_percentage"]) | st.text(max_size=3),
    st.booleans() | st.integers(-1, 101) | anything,
    max_size=3,
) | st.fixed_dictionaries({}, optional={"enabled": st.booleans(), "rolloutPercentage": st.integers(0, 100)})
overrides = st.fixed_dictionaries(
    {"userId": st.just("ada") | st.text(max_size=3), "set": st.sampled_from(["include", "exclude", "remove", "toggle"])}
)
items = (
    st.fixed_dictionaries(
        {},
        optional={
            "scheduledAt": instants | anything,
            "updates": updates | st.fixed_dictionaries({"override": overrides}) | anything,
            "override": overrides | anything,
            "when": anything,
        },
    )
    | st.fixed_dictionaries({"scheduledAt": instants, "updates": updates})
    | st.fixed_dictionaries({"scheduledAt": instants, "override": overrides})
)


def loaded(schema: Schema, body: Any) -> Any:
    """What the schema makes of a body, or what it says is wrong."""
    try:
        return schema.load(body)
    except ValidationError as error:
        return error.messages


@settings(max_examples=5 * settings().max_examples)
@given(item=items | anything.filter(lambda item: item is not None))
def test_an_item_of_a_bulk_is_read_and_refused_as_a_schedule_alone_is(item: Any) -> None:
    alone = loaded(CreateScheduleRequest(), item)

    bulk = loaded(BulkCreateScheduleRequest(), {"schedules": [item]})

    assert bulk["schedules"] == ({0: alone} if isinstance(alone, dict) else [alone])


FLAG = a_flag()
PLAN = [
    a_schedule(at=after(5)),
    a_schedule(at=after(6), status=Status.APPLIED, applied_at=after(7), flag_version=2),
    a_schedule(at=after(6), status=Status.CANCELLED, cancelled_by="bob", cancelled_at=after(7)),
    a_schedule(at=after(8), updates=UnreadableUpdates("enabled is not a boolean")),
    a_schedule(at=after(9), updates=OverrideChange("ada", OverrideType.INCLUDE)),
]
SCHEDULES = effective_schedules(PLAN, FLAG, after(5.5), Agenda.of(PLAN))
ENTRIES = [
    StoredEntry(
        7,
        FLAG.id,
        FLAG.name,
        Action.SCHEDULE_CREATED,
        PLAN[0].id,
        1,
        None,
        document_of(PLAN[0]),
        "ada",
        "1",
        after(1),
        after(1),
        None,
    )
]
SEGMENTS = Timeline(segments(transitions(FLAG, [], Agenda.of(PLAN)), after(0), after(10)))


@pytest.mark.parametrize(
    ("view", "value"),
    [
        (BulkScheduleResponse(), {"schedules": SCHEDULES}),
        (FlagListView(), {"flags": [effective_flag(FLAG, Agenda.of(PLAN), after(1))], "next_cursor": None}),
        (HistoryView(), {"entries": ENTRIES, "next_cursor": "x"}),
        (TimelineView(), SEGMENTS),
    ],
    ids=["schedules", "flags", "entries", "segments"],
)
def test_an_answer_reads_as_the_schema_library_writes_it(view: View, value: Any) -> None:
    quick = view.dump(value)

    assert quick == Schema.dump(view, value)
    assert all(Schema.dump(field.inner.schema, one) == dumped for field, one, dumped in nested(view, value, quick))


def nested(view: View, value: Any, dumped: dict[str, Any]) -> Any:
    """Each item of the view's list, with its schema and what became of it."""
    (name,) = {"schedules", "flags", "entries", "segments"} & view.fields.keys()
    given = value[name] if isinstance(value, dict) else getattr(value, name)
    return [(view.fields[name], one, after_) for one, after_ in zip(given, dumped[name], strict=True)]
