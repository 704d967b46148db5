"""What the operator's URL says to PostgreSQL holds beside what flagsched says, with a pooler before it too."""

import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.connections.url import database_url
from tests.poolers import POOLED_TOO


def asked(url: sa.URL, *settings: str) -> list[str]:
    engine = open_engine(url, Limits())
    with engine.connect() as connection:
        told = [str(connection.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in settings]
    engine.dispose()
    return told


@POOLED_TOO
def test_options_of_the_url_and_ours_are_both_in_force(postgresql_url: sa.URL) -> None:
    given = postgresql_url.update_query_dict({"options": "-c search_path=public,x --work-mem=7MB"})
    url = database_url(given.render_as_string(hide_password=False))

    told = asked(url, "search_path", "work_mem", "lock_timeout", "statement_timeout", "timezone")

    assert told == ["public,x", "7MB", "3s", "4s", "UTC"]


def test_an_application_name_of_the_url_is_the_one_that_the_server_shows(postgresql_url: sa.URL) -> None:
    query = {"application_name": "mine", "keepalives_idle": "60", "target_session_attrs": "read-write"}
    url = database_url(postgresql_url.update_query_dict(query).render_as_string(hide_password=False))

    assert asked(url, "application_name", "lock_timeout") == ["mine", "3s"]
    assert asked(postgresql_url, "application_name", "lock_timeout") == ["flagsched", "3s"]
