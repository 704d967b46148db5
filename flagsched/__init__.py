"""Feature-flag changes planned ahead: on time, in order, exactly once, and all of it recorded.

`FlagSched` brings it into a Flask app, with `EvaluationRules` for who may ask through OFREP; `create_app` makes the
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

# Looked up when first asked for, so that the worker, which needs none of it, imports no Flask.
OFFERED = {
    "EvaluationRules": "flagsched.web.access",
    "FlagSched": "flagsched.bootstrap.extension",
    "create_app": "flagsched.bootstrap.web",
}


def __getattr__(name: str) -> object:
    if name in OFFERED:
        return getattr(import_module(OFFERED[name]), name)
    raise AttributeError(f"module 'flagsched' has no attribute {name!r}")
