"""What an admin does, by the client of openapi-python-client; prints what was answered."""

import json
import os
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from opc_client import AuthenticatedClient
from opc_client.api.config import evaluate_flags
from opc_client.api.flags import create_flag, edit_flag, read_flag
from opc_client.api.schedules import (
    cancel_schedule,
    create_schedule,
    create_schedules,
    list_all_schedules,
    list_schedules,
)
from opc_client.models import (
    BulkCreateScheduleRequest,
    BulkScheduleResponse,
    CreateFlagRequest,
    CreateScheduleRequest,
    EditFlagRequest,
    ErrorView,
    FlagValuesView,
    FlagView,
    SchedulePageView,
    ScheduleView,
    UpdatesBody,
)
from opc_client.types import UNSET, Response, Unset

client = AuthenticatedClient(base_url=os.environ["URL"], token=os.environ["TOKEN"])


def planned(days: int, updates: UpdatesBody) -> CreateScheduleRequest:
    return CreateScheduleRequest(datetime.now(UTC) + timedelta(days=days), updates)


def refused(answer: Response) -> list[object]:
    error = answer.parsed
    assert isinstance(error, ErrorView), answer
    details = error.details
    return [answer.status_code.value, error.error, details.to_dict() if hasattr(details, "to_dict") else details]


def pages() -> list[int]:
    sizes: list[int] = []
    cursor: str | Unset | None = UNSET
    while cursor is not None:
        page = list_all_schedules.sync(client=client, limit=3, cursor=cursor)
        assert isinstance(page, SchedulePageView)
        sizes.append(len(page.schedules))
        cursor = page.next_cursor
    return sizes


def edit(etag: str) -> Response:
    body = EditFlagRequest(enabled=True, rollout_percentage=100)
    return edit_flag.sync_detailed("typed", client=client, body=body, if_match=etag)


flag = create_flag.sync(client=client, body=CreateFlagRequest("typed", enabled=False, rollout_percentage=0))
assert isinstance(flag, FlagView)
single = create_schedule.sync("typed", client=client, body=planned(1, UpdatesBody(enabled=True)))
assert isinstance(single, ScheduleView)
steps = [planned(2 + n, UpdatesBody(rollout_percentage=step)) for n, step in enumerate((25, 50, 100))]
bulk = create_schedules.sync("typed", client=client, body=BulkCreateScheduleRequest(steps))
assert isinstance(bulk, BulkScheduleResponse)
listed = list_schedules.sync("typed", client=client)
assert isinstance(listed, list)
sizes = pages()
cancelled = cancel_schedule.sync("typed", single.id, client=client)
assert isinstance(cancelled, ScheduleView)
etag = read_flag.sync_detailed("typed", client=client).headers["ETag"]
edited = edit(etag).parsed
assert isinstance(edited, FlagView)
flags = evaluate_flags.sync(client=client)
assert isinstance(flags, FlagValuesView)
past = planned(-1, UpdatesBody(enabled=True))
taken = create_flag.sync_detailed(client=client, body=CreateFlagRequest("typed"))
assert taken.status_code == HTTPStatus.CONFLICT
print(
    json.dumps(
        {
            "created": [flag.enabled, flag.rollout_percentage, flag.version],
            "planned": [single.status.value, single.batch_id],
            "bulk": [schedule.updates.rollout_percentage for schedule in bulk.schedules],
            "listed": len(listed),
            "pages": sizes,
            "cancelled": cancelled.status.value,
            "edited": [edited.enabled, edited.rollout_percentage, edited.version],
            "stale": refused(edit(etag)),
            "past": refused(create_schedule.sync_detailed("typed", client=client, body=past)),
            "missing": refused(read_flag.sync_detailed("none", client=client)),
            "exists": refused(taken),
            "again": refused(cancel_schedule.sync_detailed("typed", single.id, client=client)),
            "evaluated": "boolean" if isinstance(flags["typed"], bool) else repr(flags["typed"]),
        }
    )
)
