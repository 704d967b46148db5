"""What happened to all flags of an environment, as sentences and as CSV."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from json import dumps

from flask import Response, request

from flagsched.domain.history import Action, StoredEntry
from flagsched.domain.instants import rfc3339
from flagsched.ports.history import HistoryQuery
from flagsched.ports.store import Store
from flagsched.usecases.history import list_history
from flagsched.web.console.blueprint import ConsoleBlueprint
from flagsched.web.console.flags import tell
from flagsched.web.console.forms import load
from flagsched.web.console.pages import environment, page
from flagsched.web.schemas.history import HistoryListQuery, entry_cursor
from flagsched.web.service import store

ENTRIES = 50
CSV_ENTRIES = 10_000
"""How many entries a CSV has at most: the newest."""
CSV_PAGE = 500
FILTERS = ("flagKey", "actor", "action", "cursor")
COLUMNS = ("id", "effectiveAt", "recordedAt", "environment", "flag", "action", "actor", "before", "after", "undoes")
# A spreadsheet takes a cell that begins so for a formula. Source: OWASP, "CSV Injection".
FORMULA = ("=", "+", "-", "@", "\t", "\r")
blueprint = ConsoleBlueprint("console_history")


@blueprint.get("/history")
def show_history() -> Response:
    """The newest entries, or those that follow a cursor."""
    query = _query()
    found = list_history(query, store=store())
    return page(
        "history.html",
        entries=[tell(entry) for entry in found.items],
        following=entry_cursor(found.items[-1]) if found.more else None,
        actions=list(Action),
        filters={name: request.args.get(name, "")[:200] for name in FILTERS},
    )


@blueprint.get("/history.csv")
def download_history() -> Response:
    """The newest entries for a spreadsheet."""
    headers = {"Content-Disposition": f'attachment; filename="history-{environment()}.csv"'}
    # The server reads the lines after the request has ended, when there is no current app to ask for the store.
    return Response(_csv(replace(_query(), limit=CSV_PAGE), store()), mimetype="text/csv", headers=headers)


def _query() -> HistoryQuery:
    asked = {name: value for name in FILTERS if (value := request.args.get(name, "").strip())}
    query: HistoryQuery = load(HistoryListQuery, {"environment": environment(), "limit": str(ENTRIES), **asked})
    return query


def _csv(query: HistoryQuery, store: Store) -> Iterator[str]:
    yield _line(COLUMNS)
    for _ in range(CSV_ENTRIES // CSV_PAGE):
        found = list_history(query, store=store)
        for entry in found.items:
            yield _line(_cells(entry))
        if not found.more:
            return
        query = replace(query, before=(found.items[-1].effective_at, found.items[-1].id))


def _cells(entry: StoredEntry) -> tuple[object, ...]:
    return (
        entry.id,
        rfc3339(entry.effective_at),
        rfc3339(entry.recorded_at),
        entry.name.environment,
        entry.name.key,
        entry.action.value,
        entry.actor,
        dumps(entry.before) if entry.before is not None else "",
        dumps(entry.after) if entry.after is not None else "",
        "" if entry.undoes is None else entry.undoes,
    )


def _line(cells: tuple[object, ...]) -> str:
    text = StringIO()
    csv.writer(text).writerow([_inert(cell) for cell in cells])
    return text.getvalue()


def _inert(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
