"""The blueprints under /api/admin: every route of them, present and to come, is for callers with a role."""

from flagsched.web.auth import TOKEN_HOLDERS
from flagsched.web.blueprint import RoleBlueprint


class AdminBlueprint(RoleBlueprint):
    """A blueprint under /api/admin."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, description, url_prefix="/api/admin", authentication=TOKEN_HOLDERS)
