"""`flagsched run`: web and worker together on one machine, with example requests to paste."""

import shlex
import socket
import sys
import time
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from threading import Thread

from honcho.manager import Manager

from flagsched.bootstrap.console_log import ConsolePrinter
from flagsched.config.instance import use_or_make_secret

HOST = "127.0.0.1"
CONFIG = "python:flagsched.bootstrap.gunicorn_conf"
TOKEN_LIFE = timedelta(hours=12)
READY_CHECK_SECONDS = 0.2
# A configured proxy does not lead to this machine.
WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
COMMAND = f"{shlex.quote(sys.executable)} -m flagsched token --subject you"
BANNER = """
flagsched is at {url}; stop it with Ctrl-C.

{console}

Paste these into another terminal: they create a flag, plan three changes of it, and watch these take effect.

export TOKEN={token}
at() {{ python3 -c "import datetime as d; print((d.datetime.now(d.UTC) + d.timedelta(seconds=$1)).isoformat())"; }}

curl -sS {url}/api/admin/flags -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
-d '{{"key": "new-checkout", "rolloutPercentage": 0}}'

curl -sS {url}/api/admin/flags/new-checkout/schedule/bulk -H "Authorization: Bearer $TOKEN" \
-H 'Content-Type: application/json' -d '{{"schedules": [
  {{"scheduledAt": "'$(at 3)'", "updates": {{"enabled": true, "rolloutPercentage": 25}}}},
  {{"scheduledAt": "'$(at 6)'", "updates": {{"rolloutPercentage": 50}}}},
  {{"scheduledAt": "'$(at 9)'", "updates": {{"rolloutPercentage": 100}}}}]}}'

for i in 1 2 3 4 5 6; do curl -sS {url}/api/config/flags/new-checkout; sleep 2; done
"""


def run(
    port: int,
    *,
    make_token: Callable[[str, str, timedelta], str],
    make_link: Callable[[str, str, str], str],
    upgrade: Callable[[], None],
) -> None:
    """Migrate, start web and worker, print example requests, and go on until Ctrl-C or until one of them ends."""
    _refuse_taken_port(port)
    use_or_make_secret()
    upgrade()
    url = f"http://{HOST}:{port}"
    token, link = make_token("you", "admin", TOKEN_LIFE), make_link(url, "you", "admin")
    manager = Manager(ConsolePrinter() if sys.stdout.isatty() else None)
    for name, command in _commands(port).items():
        # Without exec, honcho reports that its shell was killed by SIGTERM, and not how the command ended.
        manager.add_process(name, f"exec {shlex.join(command)}")
    Thread(target=_print_when_ready, args=(url, token, link), daemon=True).start()
    manager.loop()
    sys.exit(manager.returncode)


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            sys.exit(f"flagsched: cannot listen on {HOST}:{port} ({error.strerror}); choose another with --port")


def _commands(port: int) -> dict[str, list[str]]:
    web = ["gunicorn", "--config", CONFIG, "--bind", f"{HOST}:{port}", "flagsched:create_app()"]
    return {
        "web": [sys.executable, "-m", *web],
        "worker": [sys.executable, "-m", "flagsched", "worker"],
    }


def _print_when_ready(url: str, token: str, link: str) -> None:
    while not _is_ready(url):
        time.sleep(READY_CHECK_SECONDS)
    # A token is for the person at the terminal: others may read a log.
    if sys.stdout.isatty():
        print(BANNER.format(url=url, token=token, console=f"Open the console, signed in: {link}"), flush=True)
    else:
        here = f"# in this folder: {Path.cwd()}"
        console = f"Open the console at {url}/console/, with a link from: {COMMAND} --link  {here}"
        print(BANNER.format(url=url, token=f'"$({COMMAND})"  {here}', console=console), flush=True)


def _is_ready(url: str) -> bool:
    try:
        with WITHOUT_PROXY.open(f"{url}/readyz", timeout=5) as response:
            return bool(response.status == HTTPStatus.OK)
    except OSError:
        return False
