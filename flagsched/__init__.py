"""Feature-flag changes planned ahead: on time, in order, exactly once, and all of it recorded.

`FlagSched` brings it into a Flask app, with `EvaluationRules` for who may use OFREP; `create_app` makes the
standalone web app; `__version__` is this release.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from flagsched.version import __version__

if TYPE_CHECKING:
    from flagsched.bootstrap.extension import FlagSched
    from flagsched.bootstrap.web import create_app
    from flagsched.web.access import EvaluationRules

__all__ = ["EvaluationRules", "FlagSched", "__version__", "create_app"]

# Imported at the first use, so that the worker, which needs none of them, imports no Flask.
EXPORTS = {
    "EvaluationRules": "flagsched.web.access",
    "FlagSched": "flagsched.bootstrap.extension",
    "create_app": "flagsched.bootstrap.web",
}


def __getattr__(name: str) -> object:
    if name in EXPORTS:
        return getattr(import_module(EXPORTS[name]), name)
    raise AttributeError(f"module 'flagsched' has no attribute {name!r}")
