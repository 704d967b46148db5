"""No caller is ever told that what it has is still so, unless it is: whatever is done, whichever process answers."""

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings
from werkzeug.test import TestResponse

from flagsched.bootstrap.web import create_app
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import OverrideMissing
from flagsched.domain.flags import FlagEdit, FlagName
from flagsched.domain.overrides import NewOverride, OverrideType
from flagsched.domain.schedules import ScheduleEdit
from flagsched.domain.updates import Updates
from flagsched.ports.flags import FlagQuery
from flagsched.ports.schedules import EnvironmentScheduleQuery
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.flags import archive_flag, create_flag, edit_flag, list_flags
from flagsched.usecases.materialise import materialise_due
from flagsched.usecases.overrides import remove_override, set_override
from flagsched.usecases.schedules import cancel_schedule, edit_schedule, list_environment_schedules, plan_schedules
from tests.builders import ADMIN, ManualClock, a_change, a_new_flag
from tests.processes import until
from tests.services import web_settings

ALL = "/ofrep/v1/evaluate/flags"
KEYS = ("a", "b", "c")
CONTEXTS: tuple[dict[str, Any], ...] = ({}, {"targetingKey": "ada"}, {"targetingKey": "bob"})
PROCESSES = 3
STEPS = 60
SEEDS = range(settings().max_examples // 20)


class World:
    """Some processes on one store, an admin, and what every tag that they gave came with."""

    def __init__(
        self, make: Callable[[], Flask], engine: sa.Engine, store: SqlStore, clock: ManualClock, chance: random.Random
    ) -> None:
        self.make, self.engine, self.store, self.clock, self.chance = make, engine, store, clock, chance
        self.processes: list[FlaskClient] = [make().test_client() for _ in range(PROCESSES)]
        self.backoff = Backoff(lambda: clock().timestamp())
        self.came_with: dict[str, bytes] = {}
        self.spared = 0
        self.known_in = 2

    def write(self) -> None:
        """Something that an admin does, to any flag."""
        name = FlagName("production", self.chance.choice(KEYS))
        if name.key not in {one.flag.name.key for one in list_flags(FlagQuery("production"), store=self.store).items}:
            create_flag(a_new_flag(name.key, enabled=True, rollout_percentage=50), by=ADMIN, store=self.store)
            return
        self.chance.choice([self.edit, self.plan, self.plan, self.change_plan, self.change_plan, self.set_apart])(name)

    def edit(self, name: FlagName) -> None:
        if self.chance.random() < 0.2:
            archive_flag(name, by=ADMIN, store=self.store)
        else:
            edit_flag(name, FlagEdit(self.updates()), by=ADMIN, store=self.store)

    def plan(self, name: FlagName) -> None:
        seconds = self.chance.sample(range(1, 9), self.chance.randint(1, 3))
        changes = [a_change(self.clock.at + timedelta(seconds=s), **self.settings()) for s in seconds]
        plan_schedules(name, changes, batch=True, by=ADMIN, store=self.store)

    def change_plan(self, name: FlagName) -> None:
        """Cancel or reschedule one that is still ahead."""
        for schedule_id in self.ahead(name):
            if self.chance.random() < 0.5:
                cancel_schedule(name, schedule_id, by=ADMIN, store=self.store)
            else:
                to = self.clock.at + timedelta(seconds=self.chance.randint(1, 9))
                edit_schedule(name, schedule_id, ScheduleEdit(to, self.updates()), by=ADMIN, store=self.store)
            return

    def ahead(self, name: FlagName) -> list[UUID]:
        plans = list_environment_schedules(EnvironmentScheduleQuery("production"), store=self.store).items
        return [p.schedule.id for p in plans if p.flag.name == name and p.schedule.pending and not p.in_effect]

    def set_apart(self, name: FlagName) -> None:
        kind = self.chance.choice([OverrideType.INCLUDE, OverrideType.EXCLUDE, None])
        if kind is not None:
            set_override(name, NewOverride("ada", kind), by=ADMIN, store=self.store)
            return
        with suppress(OverrideMissing):
            remove_override(name, "ada", by=ADMIN, store=self.store)

    def settings(self) -> dict[str, Any]:
        return {"enabled": self.chance.random() < 0.7, "rollout_percentage": self.chance.choice([0, 30, 50, 100])}

    def updates(self) -> Updates:
        return Updates(**self.settings())

    def change_by_hand(self) -> None:
        """What raises neither version nor revision: a fresh process knows it, the others once they read all anew."""
        with self.engine.begin() as connection:
            connection.execute(sa.text("UPDATE feature_flags SET rollout_percentage = 100 - rollout_percentage"))
        self.known_in = 301
        self.restart()

    def time_passes(self) -> None:
        self.clock.advance(seconds=self.chance.choice([0.001, 0.5, 1, 1, 2]))

    def record(self) -> None:
        """By a worker; this alone changes nothing that anybody is told."""
        self.clock.advance(seconds=self.known_in)
        self.known_in = 2
        before = self.answers(self.make().test_client())
        until(lambda: all(self.answers(one) == before for one in self.processes), what="all know the same")
        assert not materialise_due(self.store, self.backoff).failed
        assert [self.answers(one) for one in self.processes] == [before] * PROCESSES
        assert self.answers(self.make().test_client()) == before

    def answers(self, client: FlaskClient) -> list[tuple[str, bytes]]:
        told = [client.post(ALL, json={"context": context}) for context in CONTEXTS]
        return [(answer.headers["ETag"], answer.data) for answer in told]

    def restart(self) -> None:
        self.processes[self.chance.randrange(PROCESSES)] = self.make().test_client()

    def ask(self) -> None:
        """In one process: what it tells, and what it tells whoever has any tag that was ever given."""
        client = self.chance.choice(self.processes)
        for context in CONTEXTS:
            told = client.post(ALL, json={"context": context})
            tag = told.headers["ETag"]
            assert self.came_with.setdefault(tag, told.data) == told.data
            for known in [tag, *self.chance.sample(list(self.came_with), min(20, len(self.came_with)))]:
                again = client.post(ALL, json={"context": context}, headers={"If-None-Match": known})
                before, told = told, client.post(ALL, json={"context": context})
                self.judge(again, known, {before.data, told.data})

    def judge(self, again: TestResponse, known: str, bodies: set[bytes]) -> None:
        """`bodies` are what the same process told just before and just after: one, unless it has looked meanwhile."""
        if again.status_code == 304:
            self.spared += 1
            assert again.headers["ETag"] == known
            assert self.came_with[known] in bodies
        else:
            assert (again.status_code, again.data in bodies or len(bodies) > 1) == (200, True)
            assert again.headers["ETag"] != known


@pytest.mark.parametrize("seed", SEEDS)
def test_a_304_is_given_only_for_the_very_body_that_its_tag_came_with(
    url: sa.URL, engine: sa.Engine, store: SqlStore, clock: ManualClock, seed: int
) -> None:
    every: list[SnapshotRefresher] = []

    def make() -> Flask:
        every.append(SnapshotRefresher(store, monotonic=lambda: clock().timestamp()))
        return create_app(web_settings(url), store=store, refresher=every[-1])

    world = World(make, engine, store, clock, random.Random(seed))  # noqa: S311 - a test
    world.write()

    for _ in range(STEPS):
        acts = [world.write, world.change_by_hand, world.time_passes, world.record, world.restart]
        world.chance.choices(acts, [6, 0.7, 4, 1, 0.5])[0]()
        world.ask()
    for refresher in every:
        refresher.close()

    assert world.spared > STEPS
    assert len(set(world.came_with.values())) > STEPS / 4
