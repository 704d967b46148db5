#!/usr/bin/env python3
"""A developer's commands, for a machine with only python3 and git: `python3 dev.py run`, `python3 dev.py test`."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
PYTHON = str(BIN / "python")
RUN_LOCK = ROOT / "requirements.txt"
DEV_LOCK = ROOT / "requirements-dev.txt"
OLDEST = (3, 11)


def call(*command: str) -> None:
    """Run a command in the project's folder; end with its exit code if it fails."""
    code = subprocess.call(command, cwd=ROOT)  # noqa: S603 - the commands are ours
    if code:
        sys.exit(code)


def make_environment() -> None:
    """Make .venv, with the pip that comes with Python."""
    if not Path(PYTHON).exists() and subprocess.call([sys.executable, "-m", "venv", str(VENV)]):  # noqa: S603
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit("could not make .venv; on Debian or Ubuntu: apt install python3-venv")


def installer() -> list[str]:
    """Uv where there is one (20 times as fast), else pip."""
    uv = shutil.which("uv")
    os.environ.setdefault("UV_SYSTEM_CERTS", "1")  # Otherwise uv ignores a company's certificates.
    pip = [uv, "pip", "install", "--compile-bytecode", "--python", PYTHON] if uv else [PYTHON, "-m", "pip", "install"]
    return [*pip, "-q"]


def install(lock: Path) -> None:
    """Install what `lock` names, by hash; nothing if that was done before."""
    digest = hashlib.sha256(lock.read_bytes() + (ROOT / "setup.cfg").read_bytes()).hexdigest()
    stamp = VENV / f".{lock.stem}"
    if stamp.exists() and stamp.read_text() == digest:
        return
    make_environment()
    print(f"installing {lock.name} into .venv, once", file=sys.stderr)
    call(*installer(), "--require-hashes", "-r", str(lock))
    stamp.write_text(digest)


def setup(*arguments: str) -> None:
    """Make the environment, for developing."""
    del arguments
    install(DEV_LOCK)
    if not (BIN / "flagsched").exists():
        call(*installer(), "--no-deps", "--no-build-isolation", "-e", str(ROOT))


def run(*arguments: str) -> None:
    """Serve on this machine: the database is migrated, web and worker are started."""
    install(RUN_LOCK)
    os.chdir(ROOT)
    os.execv(PYTHON, [PYTHON, "-m", "flagsched", "run", *arguments])  # noqa: S606 - our own command


def test(*arguments: str) -> None:
    """Run the tests; `--all` adds those that need programs from outside PyPI."""
    setup()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # Every process that a test starts would compile flagsched anew.
    call(PYTHON, "-m", "pytest", *arguments)


def mutations(*arguments: str) -> None:
    """Mutation tests: remove each lock, condition and constraint from a copy, and expect tests to fail."""
    setup()
    call(PYTHON, "-m", "tests.mutations", *arguments)


def check(*arguments: str) -> None:
    """Check lint, types, layers, and that migrations, mutations and docs match the code."""
    del arguments
    setup()
    call(str(BIN / "ruff"), "check")
    call(str(BIN / "ruff"), "format", "--check")
    call(PYTHON, "-m", "mypy")
    call(str(BIN / "lint-imports"), "--no-logo")
    call(
        PYTHON,
        "-m",
        "pytest",
        "-q",
        "tests/test_docs.py",
        "tests/test_mutations.py",
        "tests/contract/test_migrations.py",
    )


def bench(*arguments: str) -> None:
    """Measure what flagsched costs, each figure beside its ceiling."""
    setup()
    call(PYTHON, "-m", "benchmarks", *arguments)


def lock(*arguments: str) -> None:
    """Pin what setup.cfg asks for, with hashes; `--upgrade` takes the newest."""
    uv = shutil.which("uv")
    if not uv:
        sys.exit("locking needs uv: pip install uv")
    os.environ.setdefault("UV_SYSTEM_CERTS", "1")
    options = ["--universal", "--generate-hashes", "--python-version", "3.11", "-q", *arguments]
    call(uv, "pip", "compile", *options, "setup.cfg", "-o", RUN_LOCK.name)
    call(uv, "pip", "compile", *options, "setup.cfg", "--extra", "dev", "-o", DEV_LOCK.name)


def audit(*arguments: str) -> None:
    """List known vulnerabilities of the locked packages."""
    install(DEV_LOCK)
    call(PYTHON, "-m", "pip_audit", "--require-hashes", "--disable-pip", "-r", str(RUN_LOCK), *arguments)


COMMANDS: dict[str, Callable[..., None]] = {
    command.__name__: command for command in (setup, run, test, mutations, check, bench, lock, audit)
}


def main() -> None:
    """Run the command that the arguments name."""
    if sys.version_info < OLDEST:
        sys.exit(f"flagsched needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    name, *arguments = sys.argv[1:] or ["help"]
    if name not in COMMANDS:
        sys.exit("\n".join(["python3 dev.py COMMAND", *(f"  {n:6} {c.__doc__}" for n, c in COMMANDS.items())]))
    COMMANDS[name](*arguments)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
