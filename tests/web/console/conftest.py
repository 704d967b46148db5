"""Somebody at the console of an app whose clock stands still."""

from collections.abc import Callable

import pytest
from flask import Flask

from tests.console import Visitor

Visit = Callable[..., Visitor]


@pytest.fixture
def visit(app: Flask) -> Visit:
    """Sign in with a role; with None, stay outside."""
    return lambda role="admin", name="ada": Visitor(app.test_client(), role=role, name=name)


@pytest.fixture
def ada(visit: Visit) -> Visitor:
    """An admin who is signed in."""
    return visit()
