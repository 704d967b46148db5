"""The folder `instance/`, for use on one machine: the default database, and the key that `flagsched run` makes."""

import os
import secrets
from pathlib import Path

from flagsched.config.environment import BadSettings
from flagsched.config.tokens import MIN_SECRET_BYTES

INSTANCE = Path("instance")
SECRET_FILE = INSTANCE / "jwt-secret"
DEFAULT_DATABASE_URL = f"sqlite:///{INSTANCE / 'flagsched.db'}"


def make_instance_folder() -> None:
    """Make it for its owner alone, unless it is there; BadSettings."""
    try:
        INSTANCE.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise BadSettings(f"DATABASE_URL is not set, and the folder for SQLite can't be made: {error}") from error


def use_saved_secret() -> bool:
    """Set JWT_SECRET_KEY, unless it is set, to the saved one; is there one?"""
    saved = SECRET_FILE.read_text() if SECRET_FILE.is_file() else ""
    if saved.strip():
        os.environ.setdefault("JWT_SECRET_KEY", saved)
    return bool(saved.strip())


def use_or_make_secret() -> None:
    """Set JWT_SECRET_KEY, unless it is set, for this process and those it starts, to a saved one: made if need be."""
    if "JWT_SECRET_KEY" not in os.environ and not use_saved_secret():
        make_instance_folder()
        SECRET_FILE.touch(mode=0o600)
        SECRET_FILE.chmod(0o600)
        SECRET_FILE.write_text(secrets.token_hex(MIN_SECRET_BYTES))
        use_saved_secret()
