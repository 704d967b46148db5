"""A plan file in YAML means one thing, and the message says in which line it does not."""

import pytest

from flagsched.client.strict_yaml import MAX_VALUES, NotYaml, parse_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("true", True),
        ("False", False),
        ("2026-12-01", "2026-12-01"),
        ("2026-12-01T09:00:00+09:00", "2026-12-01T09:00:00+09:00"),
        ("2026-12-01 09:00:00", "2026-12-01 09:00:00"),
        ("09:30", "09:30"),
        ("1:30:00", "1:30:00"),
        ("1_000", "1_000"),
        ("025", 25),
        ("25", 25),
        ("'25'", "25"),
        ("!!str 25", "25"),
        ("2.5", 2.5),
        ("1e2", 100.0),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        ("0x10", "0x10"),
        ("9" * 5000, "9" * 5000),
        ("~", None),
        ("", None),
        ("{<<: {a: 1}}", {"<<": {"a": 1}}),
        ("PT24H", "PT24H"),
    ],
)
def test_a_value_is_what_yaml_1_2_says_that_it_is(text: str, value: object) -> None:
    parsed = parse_yaml(f"a: {text}\n").value["a"]

    assert (parsed, type(parsed)) == (value, type(value))


def test_an_alias_stands_for_what_it_names() -> None:
    assert parse_yaml("a: &x {enabled: true}\nb: *x\n").value == {"a": {"enabled": True}, "b": {"enabled": True}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: c: d\n", "line 2, column 5: mapping values are not allowed here"),
        ("a:\n\t- 1\n", "line 2, column 1: found character '\\t' that cannot start any token"),
        ("a: 'x\n", "line 2, column 1: found unexpected end of stream, while scanning a quoted scalar"),
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: 'a' appears twice in one mapping"),
        ("a: [{b: 1,\n b: 2}]\n", "line 2, column 2: 'b' appears twice in one mapping"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: begins another document: a file has one plan"),
        ("a: 1\n1: b\n", "line 2, column 1: the name of a field must be text: write others in quotes"),
        ("{[a]: b}\n", "line 1, column 2: the name of a field must be text"),
        ("a: 1\nb: \x07\n", "line 2: has a character that YAML does not allow"),
        ("a: !!python/object/apply:os.getcwd []\n", "the tag !!python/object/apply:os.getcwd can't be used"),
        ("a: !!python/name:os.getcwd x\n", "line 1, column 4: the tag !!python/name:os.getcwd can't be used here"),
        ("a: !!timestamp 2026-12-01\n", "the tag !!timestamp can't be used here"),
        ("a: !!int one\n", "the tag !!int can't be used here"),
        ("a: *b\n", "line 1, column 4: found undefined alias 'b'"),
        ("a: !!set {b}\n", "the tag !!set can't be used here"),
        ("a: &a [*a]\n", "is nested too deep"),
        (BOMB, f"has more than {MAX_VALUES} values"),
        ("[" * 5000, "is nested too deep"),
    ],
    ids=lambda text: repr(text[:30]),
)
def test_what_has_no_single_meaning_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(NotYaml) as refused:
        parse_yaml(text)

    assert message in str(refused.value)


def test_the_line_of_each_field_is_known() -> None:
    lines = parse_yaml("name: a\nsteps:\n  - updates:\n      enabled: true\n  - after: P1D\n").lines

    assert lines["steps",] == 2
    assert lines["steps", "0", "updates", "enabled"] == 4
    assert lines["steps", "1", "after"] == 5
