"""`flagsched doctor`: checks the settings, then everything stored."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime

from flagsched.bootstrap.extension import open_rate_limits
from flagsched.bootstrap.logs import configure_logs
from flagsched.config.environment import BadSettings, unknown_settings
from flagsched.config.settings import (
    RateSettings,
    Settings,
    read_rate_settings,
    read_server_settings,
    read_settings,
    read_web_settings,
    read_worker_settings,
)
from flagsched.database.connections.engine import open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import FlagschedError
from flagsched.ports.store import Store
from flagsched.usecases.doctor import Finding, examine, repair

TIMEOUT_SECONDS = 600
"""Enough for a long history."""


def run(*, as_json: bool, repair_first: bool) -> None:
    """Print the findings, after the repair if it is wanted; exit code 1 unless all are good."""
    settings, findings = _check_settings()
    if settings is not None:
        configure_logs(settings.log_level)
        store = _open(settings)
        findings += _repair(store) if repair_first else []
        findings += examine(store, datetime.now(UTC))
    (_print_json if as_json else _print_text)(findings)
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


def _check_settings() -> tuple[Settings | None, list[Finding]]:
    readers: dict[str, Callable[[], object]] = {
        "web": read_web_settings,
        "worker": read_worker_settings,
        "gunicorn": read_server_settings,
    }
    findings = _check_names()
    for process, read in readers.items():
        try:
            read()
            findings.append(Finding("settings", ok=True, message=f"the {process} process has valid settings"))
        except BadSettings as error:
            findings.append(Finding("settings", ok=False, message=f"{process}: {error}"))
    findings += _check_rate_storage()
    try:
        return read_settings(), findings
    except BadSettings:
        return None, findings


def _check_names() -> list[Finding]:
    return [
        Finding("settings", ok=False, message=f"{name} is not a setting{f': is {meant} meant?' if meant else ''}")
        for name, meant in unknown_settings().items()
    ]


def _check_rate_storage() -> list[Finding]:
    try:
        settings = read_rate_settings()
    except BadSettings:
        return []  # Reported with the web process's settings.
    if settings == replace(settings, storage=RateSettings().storage):
        return []
    answers = open_rate_limits(settings).answers()
    message = "the rate storage answers" if answers else "the rate storage does not answer: each process counts alone"
    return [Finding("rates", ok=answers, message=message)]


def _open(settings: Settings) -> Store:
    limits = replace(settings.limits, statement_seconds=TIMEOUT_SECONDS)
    return SqlStore(open_engine(settings.database_url, limits), seconds=TIMEOUT_SECONDS)


def _repair(store: Store) -> list[Finding]:
    try:
        environments = repair(store)
    except FlagschedError as error:
        return [Finding("repair", ok=False, message=error.message)]
    message = "recomputed when each flag is due; every web process reloads its snapshots"
    return [Finding("repair", ok=True, message=message, examples=environments)]


def _print_json(findings: list[Finding]) -> None:
    ok = all(finding.ok for finding in findings)
    print(json.dumps({"ok": ok, "findings": [asdict(finding) for finding in findings]}, indent=2))


def _print_text(findings: list[Finding]) -> None:
    for finding in findings:
        print(f"{'ok   ' if finding.ok else 'WRONG'} {finding.check}: {finding.message}")
        for example in finding.examples:
            print(f"        {example}")
