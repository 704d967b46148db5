"""What an admin does, by the client of openapi-generator (python); prints what was answered."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ogen_client import ApiClient, Configuration
from ogen_client.api import ConfigApi, FlagsApi, SchedulesApi
from ogen_client.exceptions import ApiException
from ogen_client.models import (
    BulkCreateScheduleRequest,
    CreateFlagRequest,
    CreateScheduleRequest,
    EditFlagRequest,
    ErrorView,
    FlagView,
    UpdatesBody,
)

connection = ApiClient(Configuration(host=os.environ["URL"], access_token=os.environ["TOKEN"]))
config, flags, schedules = ConfigApi(connection), FlagsApi(connection), SchedulesApi(connection)


def planned(days: int, updates: UpdatesBody) -> CreateScheduleRequest:
    return CreateScheduleRequest(scheduledAt=datetime.now(UTC) + timedelta(days=days), updates=updates)


def refused(ask: Callable[[], object]) -> list[object]:
    try:
        answer = ask()
    except ApiException as error:
        refusal = error
    else:
        raise AssertionError(f"it was not refused: {answer}")
    told = refusal.data
    assert isinstance(told, ErrorView), refusal
    return [refusal.status, told.error, told.details.actual_instance if told.details else None]


def pages() -> list[int]:
    sizes: list[int] = []
    cursor: str | None = None
    while cursor is not None or not sizes:
        page = schedules.list_all_schedules(limit=3, cursor=cursor)
        sizes.append(len(page.schedules))
        cursor = page.next_cursor
    return sizes


def edit(etag: str) -> FlagView:
    return flags.edit_flag("typed", EditFlagRequest(enabled=True, rolloutPercentage=100), if_match=etag)


asked = CreateFlagRequest(key="typed", enabled=False, rolloutPercentage=0)
flag = flags.create_flag(asked)
single = schedules.create_schedule("typed", planned(1, UpdatesBody(enabled=True)))
steps = [planned(2 + n, UpdatesBody(rolloutPercentage=step)) for n, step in enumerate((25, 50, 100))]
bulk = schedules.create_schedules("typed", BulkCreateScheduleRequest(schedules=steps))
listed = schedules.list_schedules("typed")
sizes = pages()
cancelled = schedules.cancel_schedule("typed", single.id)
read = flags.read_flag_with_http_info("typed")
etag = read.headers["ETag"]
edited = edit(etag)
evaluated = config.evaluate_flags()
past = planned(-1, UpdatesBody(enabled=True))
print(
    json.dumps(
        {
            "created": [flag.enabled, flag.rollout_percentage, flag.version],
            "planned": [single.status, single.batch_id],
            "bulk": [schedule.updates.rollout_percentage for schedule in bulk.schedules],
            "listed": len(listed),
            "pages": sizes,
            "cancelled": cancelled.status,
            "edited": [edited.enabled, edited.rollout_percentage, edited.version],
            "stale": refused(lambda: edit(etag)),
            "past": refused(lambda: schedules.create_schedule("typed", past)),
            "missing": refused(lambda: flags.read_flag("none")),
            "exists": refused(lambda: flags.create_flag(asked)),
            "again": refused(lambda: schedules.cancel_schedule("typed", single.id)),
            "evaluated": "boolean" if isinstance(evaluated["typed"], bool) else repr(evaluated["typed"]),
        }
    )
)
