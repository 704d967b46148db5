"""Warnings of unknown settings, once at the start of a process."""

import structlog

from flagsched.config.environment import unknown_settings

log = structlog.get_logger("flagsched.settings")


def log_unknown_settings() -> None:
    """Warn of each variable that begins like flagsched's settings and is not one of them."""
    for name, meant in unknown_settings().items():
        log.warning("unknown setting, not read", setting=name, meant=meant or None)
