"""The blueprints that routes hang on: strict parsing for all, admins only for the admin API."""

from typing import Any

from flask_smorest import Blueprint

from flagsched.domain.flags import FlagName
from flagsched.web.auth import require_admin
from flagsched.web.parsing import StrictParser


class StrictBlueprint(Blueprint):
    """A blueprint whose arguments are read strictly, and which answers to the methods that it names alone."""

    ARGUMENTS_PARSER = StrictParser()

    def add_url_rule(self, rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any) -> None:
        """Without the OPTIONS that Flask adds by itself, and answers in HTML."""
        view_func.provide_automatic_options = False
        super().add_url_rule(rule, endpoint, view_func, **options)


def admin_blueprint(name: str) -> StrictBlueprint:
    """A blueprint under /api/admin whose every route, present and to come, is for admins only."""
    blueprint = StrictBlueprint(name, __name__, url_prefix="/api/admin")
    blueprint.before_request(require_admin)
    return blueprint


def named(query: dict[str, str], flag_key: str) -> FlagName:
    """Which flag a path and its `?environment=` name."""
    return FlagName.asked(query["environment"], flag_key)
