"""/api/admin/history, and that of one flag."""

from http import HTTPStatus
from typing import Any

from flagsched.domain.flags import FlagName
from flagsched.domain.history import StoredEntry
from flagsched.ports.history import HistoryQuery
from flagsched.ports.pages import Page
from flagsched.usecases import history, undo
from flagsched.web.admin.blueprint import AdminBlueprint
from flagsched.web.caller import caller
from flagsched.web.idempotency import idempotent_request
from flagsched.web.schemas.flags import EditQuery
from flagsched.web.schemas.headers import IdempotencyHeaders, response_headers
from flagsched.web.schemas.history import EntryView, FlagHistoryQuery, HistoryListQuery, HistoryView, entry_cursor
from flagsched.web.schemas.undo import UndoRequest
from flagsched.web.service import service, store

blueprint = AdminBlueprint("history", "Every change that was accepted or took effect, and who made it.")
ENTRY = EntryView()


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


@blueprint.post("/flags/<flag_key>/undo")
@blueprint.on_flag(EditQuery, body=UndoRequest, headers=IdempotencyHeaders)
@blueprint.response(HTTPStatus.OK, EntryView, headers=response_headers("Idempotency-Replayed"))
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
@blueprint.alt_response(HTTPStatus.UNPROCESSABLE_ENTITY, "UNPROCESSABLE_ENTITY")
def undo_entry(name: FlagName, asked: dict[str, Any], key: str | None, override: str | None = None) -> StoredEntry:
    """Undo an entry: set back what it changed.

    If nobody has changed that since, or with `force`. The answer is the entry that this makes; it can be undone, too.
    """
    return undo.undo_entry(
        name,
        **asked,
        by=caller(),
        store=store(),
        override=override,
        limits=service().limits,
        idempotent=idempotent_request(key, ENTRY.dump, status=HTTPStatus.OK),
    )


def _page(page: Page[StoredEntry]) -> dict[str, Any]:
    return {"entries": page.items, "next_cursor": entry_cursor(page.items[-1]) if page.more else None}
