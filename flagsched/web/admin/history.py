"""/api/admin/history, and that of one flag."""

from http import HTTPStatus
from typing import Any

from flagsched.domain.flags import FlagName
from flagsched.domain.history import StoredEntry
from flagsched.domain.instants import rfc3339
from flagsched.ports.history import HistoryQuery
from flagsched.ports.pages import Page
from flagsched.usecases import history
from flagsched.web.admin.blueprint import AdminBlueprint
from flagsched.web.schemas.fields import cursor
from flagsched.web.schemas.history import FlagHistoryQuery, HistoryListQuery, HistoryView
from flagsched.web.service import store

blueprint = AdminBlueprint("history", "Every change that was accepted or took effect, and who made it.")


@blueprint.get("/history")
@blueprint.arguments(HistoryListQuery, location="query")
@blueprint.response(HTTPStatus.OK, HistoryView)
def list_history(query: HistoryQuery) -> dict[str, Any]:
    """List what happened in an environment, newest first.

    Archived flags too.
    """
    return _page(history.list_history(query, store=store()))


@blueprint.get("/flags/<flag_key>/history")
@blueprint.on_flag(FlagHistoryQuery)
@blueprint.response(HTTPStatus.OK, HistoryView)
def list_flag_history(name: FlagName, query: HistoryQuery) -> dict[str, Any]:
    """List what happened to a flag, newest first.

    One entry for each change that was accepted or took effect.
    """
    return _page(history.list_flag_history(name, query, store=store()))


def _page(page: Page[StoredEntry]) -> dict[str, Any]:
    return {"entries": page.items, "next_cursor": _next_cursor(page.items[-1]) if page.more else None}


def _next_cursor(last: StoredEntry) -> str:
    return cursor(rfc3339(last.effective_at), last.id)
