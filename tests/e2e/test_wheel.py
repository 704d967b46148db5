"""flagsched as it is installed from a wheel, in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import SECRET
from tests.processes import ROOT, started


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder / "site"), str(wheel)]
    subprocess.run(install, check=True, timeout=120)
    return folder / "site"


@pytest.fixture
def env(site: Path) -> dict[str, str]:
    variables = os.environ | {"PYTHONPATH": str(site), "JWT_SECRET_KEY": SECRET}
    variables.pop("DATABASE_URL", None)
    return variables


def run(env: dict[str, str], folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_schema_worker_and_app_work_from_an_installed_wheel(env: dict[str, str], site: Path, tmp_path: Path) -> None:
    assert run(env, tmp_path, "-c", "import flagsched; print(flagsched.__file__)").startswith(str(site))

    run(env, tmp_path, "-m", "flagsched", "db", "upgrade")
    run(env, tmp_path, "-m", "flagsched", "db", "check")
    run(env, tmp_path, "-m", "flagsched", "worker", "--once")
    assert (tmp_path / "instance" / "flagsched.db").exists()

    ask = "from flagsched import create_app; c = create_app().test_client(); print(*[c.get(p).status_code for p in {}])"
    paths = ["/readyz", "/api/config/flags", "/openapi.json", "/docs", "/docs/docs.js"]
    assert run(env, tmp_path, "-c", ask.format(paths)) == "200 200 200 200 200"
    with started([sys.executable, "-m", "flagsched", "worker"], tmp_path / "worker.log", env, cwd=tmp_path) as worker:
        worker.wait_for_log("worker started")
        assert worker.stop() == 0
