"""Settings in the operator's URL are in force beside flagsched's own, behind a pooler too."""

import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.connections.url import database_url
from tests.poolers import POOLED_TOO


def in_force(url: sa.URL, *settings: str) -> list[str]:
    engine = open_engine(url, Limits())
    with engine.connect() as connection:
        values = [str(connection.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in settings]
    engine.dispose()
    return values


@POOLED_TOO
def test_options_of_the_url_and_ours_are_both_in_force(postgresql_url: sa.URL) -> None:
    given = postgresql_url.update_query_dict({"options": "-c search_path=public,x --work-mem=7MB"})
    url = database_url(given.render_as_string(hide_password=False))

    values = in_force(url, "search_path", "work_mem", "lock_timeout", "statement_timeout", "timezone")

    assert values == ["public,x", "7MB", "3s", "4s", "UTC"]


def test_an_application_name_of_the_url_is_the_one_that_the_server_shows(postgresql_url: sa.URL) -> None:
    query = {"application_name": "mine", "keepalives_idle": "60", "target_session_attrs": "read-write"}
    url = database_url(postgresql_url.update_query_dict(query).render_as_string(hide_password=False))

    assert in_force(url, "application_name", "lock_timeout") == ["mine", "3s"]
    assert in_force(postgresql_url, "application_name", "lock_timeout") == ["flagsched", "3s"]
