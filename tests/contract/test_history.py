"""The history as it is asked for, on every database."""

from dataclasses import replace
from typing import Any

import pytest

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import FlagMissing
from flagsched.domain.flags import FlagEdit, FlagName
from flagsched.domain.history import Action, Actor
from flagsched.ports.history import HistoryQuery
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.flags import archive_flag, create_flag, edit_flag
from flagsched.usecases.history import list_flag_history, list_history
from flagsched.usecases.materialise import materialise_due
from flagsched.usecases.schedules import plan_schedules
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_change, a_new_flag, after

BOB = Actor("bob", "request-2")
OTHER = FlagName("production", "other")
ALL = HistoryQuery("production", limit=500)


@pytest.fixture(autouse=True)
def _some_history(store: SqlStore, clock: ManualClock) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    create_flag(a_new_flag(environment="staging"), by=ADMIN, store=store)
    clock.at = after(5)
    create_flag(a_new_flag("other"), by=BOB, store=store)
    plan_schedules(CHECKOUT, [a_change(after(10)), a_change(after(20))], batch=True, by=ADMIN, store=store)
    clock.at = after(15)
    edit_flag(OTHER, FlagEdit(description="x"), by=BOB, store=store)
    clock.at = after(30)
    materialise_due(store, Backoff(lambda: 0.0))
    archive_flag(OTHER, by=ADMIN, store=store)


def told(store: SqlStore, **asked: Any) -> list[tuple[str, str]]:
    entries = list_history(replace(ALL, **asked), store=store).items
    return [(one.name.key, one.action.value) for one in entries]


WHOLE = [
    ("other", "flag.archived"),
    ("new-checkout", "schedule.applied"),
    ("other", "flag.updated"),
    ("new-checkout", "schedule.applied"),
    ("new-checkout", "schedule.created"),
    ("new-checkout", "schedule.created"),
    ("other", "flag.created"),
    ("new-checkout", "flag.created"),
]


def test_the_history_of_all_is_newest_first_by_what_was_in_effect_when(store: SqlStore) -> None:
    assert told(store) == WHOLE


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"flag_key": "other"}, [WHOLE[0], WHOLE[2], WHOLE[6]]),
        ({"actor": "bob"}, [WHOLE[2], WHOLE[6]]),
        ({"actor": "flagsched"}, [WHOLE[1], WHOLE[3]]),
        ({"action": Action.FLAG_CREATED}, WHOLE[6:]),
        ({"start": after(15), "end": after(20)}, [WHOLE[2]]),
        ({"start": after(20)}, WHOLE[:2]),
        ({"end": after(5)}, WHOLE[7:]),
        ({"environment": "staging"}, WHOLE[7:]),
        ({"environment": "nowhere"}, []),
        ({"flag_key": "other", "actor": "ada"}, WHOLE[:1]),
    ],
)
def test_the_history_is_asked_for_by_what_one_looks_for(store: SqlStore, asked: Any, expected: object) -> None:
    assert told(store, **asked) == expected


def test_pages_of_a_history_stay_in_step_while_entries_are_added(store: SqlStore) -> None:
    seen, before = [], None
    while True:
        page = list_history(replace(ALL, limit=3, before=before), store=store)
        seen += [(one.name.key, one.action.value) for one in page.items]
        if not page.more:
            break
        before = (page.items[-1].effective_at, page.items[-1].id)
        edit_flag(CHECKOUT, FlagEdit(description="meanwhile"), by=ADMIN, store=store)

    assert seen == WHOLE


def test_the_history_of_a_flag_is_its_own_alone(store: SqlStore) -> None:
    create_flag(a_new_flag("other"), by=ADMIN, store=store)

    def of(name: FlagName) -> list[str]:
        query = HistoryQuery(name.environment)
        return [one.action.value for one in list_flag_history(name, query, store=store).items]

    assert of(CHECKOUT) == [action for key, action in WHOLE if key == "new-checkout"]
    assert of(OTHER) == ["flag.created"]
    assert of(FlagName("staging", "new-checkout")) == ["flag.created"]


def test_a_flag_that_is_archived_has_its_history_among_that_of_all(store: SqlStore) -> None:
    with pytest.raises(FlagMissing):
        list_flag_history(OTHER, HistoryQuery("production"), store=store)

    assert told(store, flag_key="other")[0] == ("other", "flag.archived")
