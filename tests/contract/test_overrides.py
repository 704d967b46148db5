"""Users who are set apart, on every database: what is stored, what is told, and that a flag's lock covers them."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import FlagMissing, OverrideMissing
from flagsched.domain.flags import FlagName
from flagsched.domain.history import Actor
from flagsched.domain.overrides import NewOverride, Override, OverrideType
from flagsched.ports.overrides import OverrideQuery
from flagsched.usecases.flags import archive_flag, create_flag, read_flag
from flagsched.usecases.overrides import list_overrides, read_override, remove_override, set_override
from flagsched.usecases.schedules import plan_schedules
from flagsched.usecases.timeline import read_timeline
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_change, a_new_flag, after
from tests.recorder import recorded
from tests.rows import all_history, count, the_flag

BOB = Actor("bob", "request-2")
STAGING = FlagName("staging", CHECKOUT.key)


@pytest.fixture(autouse=True)
def _a_flag(store: SqlStore) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)


def set_apart(
    store: SqlStore, user: str = "eve", kind: OverrideType = OverrideType.INCLUDE, *, reason: str = "", by: Actor = BOB
) -> Override:
    return set_override(CHECKOUT, NewOverride(user, kind, reason), by=by, store=store)


def revision(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        raised: int = connection.exec_driver_sql("SELECT revision FROM feature_flag_environments").scalar_one()
        return raised


def test_an_override_is_told_as_it_is_read(store: SqlStore, engine: sa.Engine, clock: ManualClock) -> None:
    clock.advance(seconds=3)

    made = set_apart(store, reason="tests")

    assert made == read_override(CHECKOUT, "eve", store=store)
    expected = Override(the_flag(engine).id, "eve", OverrideType.INCLUDE, "tests", "bob", after(3))
    assert made == expected


def test_another_for_the_same_user_takes_its_place(store: SqlStore, clock: ManualClock) -> None:
    set_apart(store, reason="tests")
    clock.advance(seconds=5)

    second = set_apart(store, kind=OverrideType.EXCLUDE, by=ADMIN)

    assert list_overrides(CHECKOUT, OverrideQuery(), store=store).items == [second]
    assert (second.reason, second.created_by, second.created_at) == ("", "ada", after(5))


def test_each_change_raises_the_revision_once_and_the_version_never(store: SqlStore, engine: sa.Engine) -> None:
    revisions = [revision(engine)]
    changes: list[Callable[[], object]] = [
        lambda: set_apart(store),
        lambda: set_apart(store, kind=OverrideType.EXCLUDE),
        lambda: remove_override(CHECKOUT, "eve", by=BOB, store=store),
    ]

    for change in changes:
        change()
        revisions.append(revision(engine))
        assert the_flag(engine).revision == revisions[-1]

    assert revisions == [1, 2, 3, 4]
    assert the_flag(engine).version == 1


def test_each_change_is_one_entry_by_whoever_asked(store: SqlStore, engine: sa.Engine, clock: ManualClock) -> None:
    clock.advance(seconds=1)
    set_apart(store, reason="tests")
    remove_override(CHECKOUT, "eve", by=ADMIN, store=store)

    entries = all_history(engine)[1:]

    told = {"userId": "eve", "override": "include", "reason": "tests"}
    assert [(e.action, e.before, e.after, e.actor, e.request_id) for e in entries] == [
        ("override.set", None, told, "bob", "request-2"),
        ("override.removed", told, None, "ada", "request-1"),
    ]
    assert {(e.effective_at, e.recorded_at, e.schedule_id) for e in entries} == {(after(1), after(1), None)}


def test_no_timeline_knows_of_overrides(store: SqlStore, clock: ManualClock) -> None:
    before = read_timeline(CHECKOUT, None, None, store=store)
    clock.advance(seconds=1)

    set_apart(store)

    assert read_timeline(CHECKOUT, None, None, store=store) == before


@pytest.mark.parametrize("removing", [False, True], ids=["set", "removed"])
def test_a_change_first_writes_down_what_is_in_effect(
    store: SqlStore, engine: sa.Engine, clock: ManualClock, removing: bool
) -> None:
    set_apart(store)
    plan_schedules(CHECKOUT, [a_change(after(10)), a_change(after(20))], batch=True, by=ADMIN, store=store)
    clock.advance(seconds=15)

    if removing:
        remove_override(CHECKOUT, "eve", by=BOB, store=store)
    else:
        set_apart(store, kind=OverrideType.EXCLUDE)

    applied, told = all_history(engine)[-2:]
    assert (applied.action, applied.flag_version, applied.effective_at) == ("schedule.applied", 2, after(10))
    assert (told.action.startswith("override."), told.flag_version, told.effective_at) == (True, 2, after(15))
    now = read_flag(CHECKOUT, store=store)
    assert (now.materialized, now.state.version, now.next_change_at) == (True, 2, after(20))


def test_by_a_clock_set_back_an_override_comes_after_what_the_flag_has_seen(
    store: SqlStore, engine: sa.Engine, clock: ManualClock
) -> None:
    clock.at -= timedelta(hours=1)

    made = set_apart(store)

    assert made.created_at == after(0)
    assert all_history(engine)[-1].effective_at == after(0)


def test_overrides_belong_to_their_flag_in_its_environment(store: SqlStore) -> None:
    create_flag(a_new_flag(environment="staging"), by=ADMIN, store=store)

    set_apart(store)

    assert list_overrides(STAGING, OverrideQuery(), store=store).items == []
    with pytest.raises(OverrideMissing, match="flag 'new-checkout' has no override for user 'eve'"):
        read_override(STAGING, "eve", store=store)


def test_a_list_is_by_code_point_and_goes_on_after_any_user(store: SqlStore) -> None:
    users = [" ", "A", "Z", "a", "a'b\\%_", "a/b", "z", "é", "ユ", "\ufffd", "🚀"]
    for user in reversed(users):
        set_apart(store, user)

    pages = [list_overrides(CHECKOUT, OverrideQuery(limit=4), store=store)]
    while pages[-1].more:
        last = pages[-1].items[-1].user_id
        pages.append(list_overrides(CHECKOUT, OverrideQuery(after=last, limit=4), store=store))

    assert [[one.user_id for one in page.items] for page in pages] == [users[:4], users[4:8], users[8:]]


@pytest.mark.parametrize("user", ["", "a\x00", "\x1b", "\x85", "\ud800", "x" * 257, "/a", ".", ".."])
def test_a_user_whom_none_can_name_is_missing_and_never_asked_for(
    store: SqlStore, engine: sa.Engine, user: str
) -> None:
    with recorded(engine) as statements:
        with pytest.raises(OverrideMissing):
            read_override(CHECKOUT, user, store=store)
        with pytest.raises(OverrideMissing):
            remove_override(CHECKOUT, user, by=BOB, store=store)
        with pytest.raises(ValueError, match="not one that an override can name"):
            NewOverride(user, OverrideType.INCLUDE)

    assert statements == []


def test_what_is_removed_is_gone_and_may_be_set_again(store: SqlStore, engine: sa.Engine) -> None:
    set_apart(store)
    set_apart(store, "ben")

    remove_override(CHECKOUT, "eve", by=BOB, store=store)

    assert [one.user_id for one in list_overrides(CHECKOUT, OverrideQuery(), store=store).items] == ["ben"]
    again = set_apart(store)
    assert read_override(CHECKOUT, "eve", store=store) == again
    assert all_history(engine)[-1].before is None


def test_what_is_not_there_cannot_be_removed_and_nothing_is_told(store: SqlStore, engine: sa.Engine) -> None:
    set_apart(store, "ben")

    with pytest.raises(OverrideMissing):
        remove_override(CHECKOUT, "eve", by=BOB, store=store)

    assert (revision(engine), len(all_history(engine))) == (2, 2)


def test_an_archived_flag_keeps_its_overrides_and_nobody_reads_them(store: SqlStore, engine: sa.Engine) -> None:
    set_apart(store)
    archive_flag(CHECKOUT, by=ADMIN, store=store)

    with pytest.raises(FlagMissing):
        list_overrides(CHECKOUT, OverrideQuery(), store=store)
    create_flag(a_new_flag(), by=ADMIN, store=store)

    assert list_overrides(CHECKOUT, OverrideQuery(), store=store).items == []
    assert count(engine, "feature_flag_overrides") == 1


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("UPDATE feature_flag_overrides SET override_type = 'maybe'", "override_type"),
        ("UPDATE feature_flag_overrides SET reason = NULL", "reason"),
    ],
)
def test_the_database_refuses_what_no_override_can_be(
    store: SqlStore, engine: sa.Engine, change: str, constraint: str
) -> None:
    set_apart(store)

    with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError, match=constraint):
        connection.exec_driver_sql(change)


def test_a_flag_cannot_be_deleted_under_its_overrides(store: SqlStore, engine: sa.Engine) -> None:
    set_apart(store)

    with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError, match=r"(?i)foreign.key"):
        connection.exec_driver_sql("DELETE FROM feature_flags")


def test_a_change_takes_as_many_statements_among_many_as_alone(store: SqlStore, engine: sa.Engine) -> None:
    with recorded(engine) as few:
        set_apart(store)
    for number in range(30):
        set_apart(store, f"user-{number}")

    with recorded(engine) as many:
        set_apart(store, "one-more")

    assert len(many) == len(few) <= 12
