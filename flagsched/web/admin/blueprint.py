"""The blueprints under /api/admin: every route of them, present and to come, is for callers with a role."""

from functools import wraps
from http import HTTPStatus
from typing import Any

from flask import Response, request

from flagsched.web.auth import READS, TOKEN_HOLDERS, require_role
from flagsched.web.blueprint import StrictBlueprint, View
from flagsched.web.roles import Role
from flagsched.web.service import service

REQUIRED_ROLE = "x-required-role"


class AdminBlueprint(StrictBlueprint):
    """A blueprint under /api/admin. `@blueprint.post(rule, role=Role.OPERATOR)` says who may use a route."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, description, url_prefix="/api/admin", authentication=TOKEN_HOLDERS)
        self.after_request(_refresh_after_write)

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Any = None,
        *,
        role: Role | None = None,
        **options: Any,
    ) -> None:
        """Add a route that needs `role`, or one above it; by default `viewer` for a GET, and `admin` for all others."""
        least = role or (Role.VIEWER if options.get("methods") == ["GET"] else Role.ADMIN)
        documented = self.doc(**{REQUIRED_ROLE: least.value})(view_func)
        super().add_url_rule(rule, endpoint, _for_role(least, documented), **options)


def _for_role(role: Role, view: View) -> View:
    @wraps(view)
    def for_role(*args: Any, **kwargs: Any) -> Any:
        # Before the view's own decorators read the body.
        require_role(role)
        return view(*args, **kwargs)

    return for_role


def _refresh_after_write(response: Response) -> Response:
    # A caller who writes, and then reads from this process, sees the change soon even where nothing notifies it.
    if request.method not in READS and response.status_code < HTTPStatus.BAD_REQUEST:
        service().refresher.wake()
    return response
