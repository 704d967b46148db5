"""Linters of the OpenAPI document, and clients that generators make of it, against a real server."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flagsched.bootstrap.web import create_app
from tests.processes import a_token, web
from tests.services import web_settings

FILES = Path(__file__).parent / "clients"
# Nothing is told to anybody, and nobody is asked for a newer version.
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "UV_SYSTEM_CERTS": "1"}
SEEN = {
    "created": [False, 0, 1],
    "planned": ["pending", None],
    "bulk": [25, 50, 100],
    "listed": 4,
    "pages": [3, 1],
    "cancelled": "cancelled",
    "edited": [True, 100, 2],
    "stale": [412, "PRECONDITION_FAILED", None],
    "past": [400, "Validation failed", {"scheduledAt": ["must be in the future"]}],
    "missing": [404, "FLAG_NOT_FOUND", None],
    "exists": [409, "FLAG_EXISTS", None],
    "again": [409, "ALREADY_CANCELLED", None],
    "evaluated": "boolean",
}

pytestmark = pytest.mark.extra


def run(*command: object, cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, env=os.environ | QUIET | variables, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document, beside the programs that use clients made of it."""
    folder = tmp_path_factory.mktemp("clients")
    shutil.copytree(FILES, folder, dirs_exist_ok=True)
    app = create_app(web_settings(sa.make_url("sqlite:///nowhere.db")))
    (folder / "openapi.json").write_bytes(app.test_client().get("/openapi.json").data)
    return folder


@pytest.fixture(scope="module")
def npm(folder: Path) -> Path:
    """Where the commands are that npm's lock file names."""
    assert shutil.which("npm"), "no npm: apt install nodejs npm"
    run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
    return folder / "node_modules" / ".bin"


@pytest.fixture(scope="module")
def python(folder: Path) -> Path:
    """An environment of its own for what requirements.txt names, which need not suit ours."""
    made = folder / "venv" / "bin" / "python"
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    uv = shutil.which("uv")
    installer = [uv, "pip", "install", "-q", "--python", made] if uv else [made, "-m", "pip", "install", "-q"]
    run(*installer, "--require-hashes", "-r", "requirements.txt", cwd=folder)
    return made


@pytest.fixture(scope="module")
def compiled(folder: Path, npm: Path) -> Path:
    """The two clients in TypeScript, and what they are used by, as the compiler lets them pass."""
    run(npm / "openapi-typescript", "openapi.json", "-o", "schema.ts", cwd=folder)
    run(npm / "openapi-ts", "-i", "openapi.json", "-o", "hey_api_client", "-c", "@hey-api/client-fetch", cwd=folder)
    run(npm / "tsc", "--project", ".", cwd=folder)
    return folder / "out"


def with_openapi_typescript(fixture: Callable[[str], Path]) -> list[object]:
    return ["node", fixture("compiled") / "openapi_fetch.js"]


def with_hey_api(fixture: Callable[[str], Path]) -> list[object]:
    return ["node", fixture("compiled") / "hey_api.js"]


def with_openapi_python_client(fixture: Callable[[str], Path]) -> list[object]:
    folder, python = fixture("folder"), fixture("python")
    command = [python.parent / "openapi-python-client", "generate", "--meta", "none", "--overwrite"]
    options = ["--path", "openapi.json", "--output-path", "opc_client"]
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    run(*command, *options, "--fail-on-warning", cwd=folder, PATH=path)
    return [python, "client_of_openapi_python_client.py"]


def with_openapi_generator(fixture: Callable[[str], Path]) -> list[object]:
    folder, python = fixture("folder"), fixture("python")
    assert shutil.which("java"), "no Java: apt install default-jre-headless"
    command = [python.parent / "openapi-generator-cli", "generate", "-g", "python", "-i", "openapi.json"]
    run(*command, "-o", "ogen", "--additional-properties", "packageName=ogen_client", cwd=folder)
    shutil.copytree(folder / "ogen" / "ogen_client", folder / "ogen_client", dirs_exist_ok=True)
    return [python, "client_of_openapi_generator.py"]


GENERATORS = {
    "openapi-typescript": with_openapi_typescript,
    "hey-api": with_hey_api,
    "openapi-python-client": with_openapi_python_client,
    "openapi-generator": with_openapi_generator,
}


@pytest.fixture(scope="module", params=GENERATORS)
def client(request: pytest.FixtureRequest) -> list[object]:
    """The command that uses a generated client."""
    return GENERATORS[request.param](request.getfixturevalue)


def test_redocly_finds_nothing_to_mend_in_the_document(folder: Path, npm: Path) -> None:
    run(npm / "redocly", "lint", "--config", "redocly.yaml", "openapi.json", cwd=folder)


def test_spectral_finds_nothing_to_mend_in_the_document(folder: Path, npm: Path) -> None:
    run(npm / "spectral", "lint", "-r", "spectral.yaml", "--fail-severity", "warn", "openapi.json", cwd=folder)


def test_a_generated_client_plans_pages_cancels_edits_and_reads_errors(
    client: list[object], folder: Path, sqlite_url: sa.URL, tmp_path: Path
) -> None:
    with web(sqlite_url, tmp_path / "web.log") as address:
        seen: dict[str, Any] = json.loads(run(*client, cwd=folder, URL=address, TOKEN=a_token()))

    assert seen == SEEN
