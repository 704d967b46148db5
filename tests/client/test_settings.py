"""Where the server is, and the token for it: wrong ones are refused by their names, and the token is not shown."""

import pytest

from flagsched.config.client import read_server
from flagsched.config.environment import BadSettings


def set_to(monkeypatch: pytest.MonkeyPatch, url: str | None, token: str | None) -> None:
    for name, value in {"FLAGSCHED_URL": url, "FLAGSCHED_TOKEN": token}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


def test_blanks_line_breaks_and_a_slash_at_the_end_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, " https://flags.example/below/ ", "a.b-c_d\n")

    server = read_server()

    assert (server.url, server.token) == ("https://flags.example/below", "a.b-c_d")


@pytest.mark.parametrize(
    ("url", "token", "message"),
    [
        (None, "a.b", '"FLAGSCHED_URL" not set'),
        ("https://flags.example", None, '"FLAGSCHED_TOKEN" not set'),
        ("flags.example", "a.b", '"FLAGSCHED_URL" invalid'),
        ("https://flags.example", "", '"FLAGSCHED_TOKEN" invalid'),
        ("https://flags.example", "s3cret token", '"FLAGSCHED_TOKEN" invalid'),
        ("https://flags.example", "s3cret\ntoken", '"FLAGSCHED_TOKEN" invalid'),
    ],
)
def test_a_wrong_one_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, url: str | None, token: str | None, message: str
) -> None:
    set_to(monkeypatch, url, token)

    with pytest.raises(BadSettings) as refused:
        read_server()

    assert message in str(refused.value)
    assert "s3cret" not in str(refused.value)
