"""Node programs with their packages from npm, as a lock file names them."""

import shutil
import subprocess
from pathlib import Path


def run(*command: str, cwd: Path) -> str:
    """What a command prints that must end well."""
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=True).stdout


def install(folder: Path, into: Path) -> Path:
    """Copy the files of `folder`, and install beside them what its lock file names."""
    assert shutil.which("npm"), "no npm: apt install nodejs npm"
    for path in folder.iterdir():
        if path.is_file():
            shutil.copy(path, into)
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=into)
    return into
