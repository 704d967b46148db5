"""What stands in for the locks of rows on SQLite: one writer at a time, from its BEGIN on."""

import pytest
import sqlalchemy as sa

from flagsched.database.engine import Limits, open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import FlagBusy
from flagsched.usecases.flags import create_flag, read_flag
from tests.builders import ADMIN, CHECKOUT, a_new_flag


def test_a_writer_begins_only_once_no_other_is_writing(sqlite_url: sa.URL) -> None:
    engine = open_engine(sqlite_url, Limits())
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 50"))
    store = SqlStore(engine)
    create_flag(a_new_flag(), by=ADMIN, store=store)

    with store.writing():
        assert read_flag(CHECKOUT, store=store).flag.name == CHECKOUT
        with pytest.raises(FlagBusy), store.writing():
            pytest.fail("it began")

    engine.dispose()
