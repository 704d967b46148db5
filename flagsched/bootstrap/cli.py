"""The command line's process: what each command does."""

import sys
from collections.abc import Callable
from datetime import timedelta

import sqlalchemy as sa
from alembic.util import CommandError

from flagsched import cli
from flagsched.bootstrap import demo, doctor, worker
from flagsched.bootstrap.logs import configure_logs
from flagsched.bootstrap.web import create_app
from flagsched.config import BadSettings, read_settings, read_web_settings, use_kept_secret
from flagsched.database import migrations
from flagsched.database.engine import open_engine
from flagsched.database.primary import NotPrimary
from flagsched.web.auth import SUBJECT, make_token
from flagsched.web.tokens import HS256


class Processes:
    """Implements `cli.Runtime`."""

    def make_token(self, subject: str, role: str, life: timedelta) -> str:
        """See `cli.Runtime`."""
        if not SUBJECT.fullmatch(subject):
            sys.exit("flagsched token: --subject must be 1 to 200 printable characters")
        use_kept_secret()
        settings = read_web_settings()
        if settings.tokens.algorithm != HS256:
            sys.exit("flagsched token: with JWT_ALGORITHM=RS256, tokens come from the identity provider")
        with create_app(settings).app_context():
            return make_token(subject, role, life)

    def run(self, port: int) -> None:
        """See `cli.Runtime`."""
        demo.run(port, make_token=self.make_token, upgrade=self.upgrade)

    def work(self, *, once: bool) -> None:
        """See `cli.Runtime`."""
        (worker.record_once if once else worker.main)()

    def examine(self, *, as_json: bool, mend: bool) -> None:
        """See `cli.Runtime`."""
        doctor.run(as_json=as_json, mend=mend)

    def upgrade(self, revision: str = "head") -> None:
        """See `cli.Runtime`."""
        self._on_schema(lambda engine: migrations.upgrade(engine, revision))

    def downgrade(self, revision: str) -> None:
        """See `cli.Runtime`."""
        self._on_schema(lambda engine: migrations.downgrade(engine, revision))

    def check(self) -> None:
        """See `cli.Runtime`."""
        self._on_schema(migrations.check)

    def _on_schema(self, change: Callable[[sa.Engine], None]) -> None:
        settings = read_settings()
        configure_logs(settings.log_level)
        change(open_engine(settings.database_url, settings.limits))


def main() -> None:
    """Run the command that the arguments name; exit code 2 for bad settings, 1 if the database refuses."""
    try:
        cli.flagsched(obj=Processes())
    except BadSettings as error:
        print(f"flagsched: {error}", file=sys.stderr)
        sys.exit(2)
    except (sa.exc.SQLAlchemyError, NotPrimary, CommandError) as error:
        print(f"flagsched: {error}", file=sys.stderr)
        sys.exit(1)
