"""Errors that are told to more than one."""

import pytest

from flagsched.domain.errors import DatabaseUnavailable, FlagBusy, SchemaOutdated, StatementFailed, Unavailable


@pytest.mark.parametrize(
    "error",
    [
        SchemaOutdated("0001", "0004", "c"),
        *(kind("m", "c") for kind in (DatabaseUnavailable, FlagBusy, StatementFailed)),
    ],
)
def test_what_is_told_again_is_the_same_without_the_traceback_of_the_first(error: Unavailable) -> None:
    try:
        raise error
    except Unavailable as raised:
        again = raised.again()

    assert again is not error
    assert (type(again), again.args, vars(again)) == (type(error), error.args, vars(error))
    assert (again.message, again.code, again.cause) == (error.message, error.code, "c")
    assert error.__traceback__ is not None
    assert again.__traceback__ is None
