"""The blueprints under /api/admin: every route of them, present and to come, is for admins only."""

from http import HTTPStatus

from flask import Response, request

from flagsched.web.auth import ADMINS, READS
from flagsched.web.blueprint import StrictBlueprint
from flagsched.web.service import service


def admin_blueprint(name: str, description: str) -> StrictBlueprint:
    """A blueprint under /api/admin."""
    blueprint = StrictBlueprint(name, description, url_prefix="/api/admin", authentication=ADMINS)
    blueprint.after_request(_refresh_after_write)
    return blueprint


def _refresh_after_write(response: Response) -> Response:
    # An admin who writes, and then reads from this process, sees the change soon even where nothing notifies it.
    if request.method not in READS and response.status_code < HTTPStatus.BAD_REQUEST:
        service().refresher.wake()
    return response
