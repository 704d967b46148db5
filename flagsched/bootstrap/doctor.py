"""`flagsched doctor`: the settings of this process, then what the store says of itself."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime

from flagsched.bootstrap.extension import open_rate_limits
from flagsched.bootstrap.logs import configure_logs
from flagsched.config import (
    BadSettings,
    RateSettings,
    Settings,
    read_rate_settings,
    read_server_settings,
    read_settings,
    read_web_settings,
    read_worker_settings,
    unknown_settings,
)
from flagsched.database.connections.engine import open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import FlagschedError
from flagsched.ports.store import Store
from flagsched.usecases.doctor import Finding, examine, repair

PATIENCE_SECONDS = 600
"""For all of the history, however long it is."""


def run(*, as_json: bool, repair_first: bool) -> None:
    """Print what is found, after mending what can be if that is wanted; exit code 1 unless all is well."""
    settings, findings = _settings()
    if settings is not None:
        configure_logs(settings.log_level)
        store = _open(settings)
        repaired = _repaired(store) if repair_first else []
        findings += [*repaired, *examine(store, datetime.now(UTC))]
    (_print_json if as_json else _print_text)(findings)
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


def _settings() -> tuple[Settings | None, list[Finding]]:
    readers: dict[str, Callable[[], object]] = {
        "web": read_web_settings,
        "worker": read_worker_settings,
        "gunicorn": read_server_settings,
    }
    findings = _unknown()
    for process, read in readers.items():
        try:
            read()
            findings.append(Finding("settings", ok=True, message=f"those of the {process} process are valid"))
        except BadSettings as error:
            findings.append(Finding("settings", ok=False, message=f"{process}: {error}"))
    findings += _rates()
    try:
        return read_settings(), findings
    except BadSettings:
        return None, findings


def _unknown() -> list[Finding]:
    return [
        Finding("settings", ok=False, message=f"{name} is no setting{f'; {meant} is' if meant else ''}")
        for name, meant in unknown_settings().items()
    ]


def _rates() -> list[Finding]:
    try:
        settings = read_rate_settings()
    except BadSettings:
        return []  # It is named already.
    if settings == replace(settings, storage=RateSettings().storage):
        return []
    answers = open_rate_limits(settings).answers()
    message = "the rate storage answers" if answers else "the rate storage does not answer: each process counts alone"
    return [Finding("rates", ok=answers, message=message)]


def _open(settings: Settings) -> Store:
    patient = replace(settings.limits, statement_seconds=PATIENCE_SECONDS)
    return SqlStore(open_engine(settings.database_url, patient), seconds=PATIENCE_SECONDS)


def _repaired(store: Store) -> list[Finding]:
    try:
        environments = repair(store)
    except FlagschedError as error:
        return [Finding("repair", ok=False, message=error.message)]
    message = "recomputed when each flag is due, and had every process read it anew"
    return [Finding("repair", ok=True, message=message, examples=environments)]


def _print_json(findings: list[Finding]) -> None:
    well = all(finding.ok for finding in findings)
    print(json.dumps({"ok": well, "findings": [asdict(finding) for finding in findings]}, indent=2))


def _print_text(findings: list[Finding]) -> None:
    for finding in findings:
        print(f"{'ok   ' if finding.ok else 'WRONG'} {finding.check}: {finding.message}")
        for example in finding.examples:
            print(f"        {example}")
