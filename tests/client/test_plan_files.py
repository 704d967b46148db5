"""A plan file is read as it is meant, or refused by its name, with the place of each fault."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from flagsched.client.errors import FileRefused, flattened, shown
from flagsched.client.plan_files import MAX_BYTES, PLAN_NAME, PlanFile, read_plan_file
from flagsched.domain import plans

YAML = "name: launch\nflags: [a]\nsteps:\n  - updates: {enabled: true}\n"
JSON = '{\n\t"name": "launch",\n\t"flags": ["a"], "steps": [{"updates": {"enabled": true}}]}'


def written(folder: Path, content: str | bytes, name: str = "plan.yaml") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def refusal(path: str) -> str:
    with pytest.raises(FileRefused) as refused:
        read_plan_file(path)
    return str(refused.value)


def a_plan_file(**lines: int) -> PlanFile:
    return PlanFile("plan.yaml", "launch", {}, {tuple(path.split("__")): line for path, line in lines.items()})


def test_the_name_is_the_address_and_the_rest_is_sent(tmp_path: Path) -> None:
    read = read_plan_file(written(tmp_path, YAML))

    assert read.name == "launch"
    assert read.body == {"flags": ["a"], "steps": [{"updates": {"enabled": True}}]}


def test_json_is_read_as_json(tmp_path: Path) -> None:
    assert read_plan_file(written(tmp_path, JSON, "plan.json")).body == read_plan_file(written(tmp_path, YAML)).body


@pytest.mark.parametrize("content", [YAML, JSON], ids=["yaml", "json"])
def test_a_dash_reads_yaml_or_json_from_stdin(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content.encode())))

    read = read_plan_file("-")

    assert (read.source, read.body) == ("stdin", {"flags": ["a"], "steps": [{"updates": {"enabled": True}}]})


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    assert read_plan_file(written(tmp_path, YAML.encode("utf-8-sig"))).name == "launch"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must have the fields of a plan at its top"),
        ("- name: a\n", "must have the fields of a plan at its top"),
        ("flags: [a]\n", "name: is required: by it the plan is found again"),
        ("name:\n", "name: is required"),
        ("name: 7\n", "name: must be 1 to 100 letters"),
        ("name: ../flags\n", "name: must be 1 to 100 letters"),
        ("name: a\nname: b\n", "line 2, column 1: 'name' appears twice"),
        (b"name: a\ntitle: \xff\n", "line 2: is not UTF-8"),
        ("x" * (MAX_BYTES + 1), f"has more than {MAX_BYTES} bytes"),
    ],
    ids=lambda one: repr(one[:20]),
)
def test_a_file_that_is_no_plan_is_refused_by_its_name(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = written(tmp_path, content)

    assert refusal(path).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"name": "a",\n"x": }', "line 2, column 6: Expecting value"),
        ('{"name": "a", "name": "b"}', "'name' appears twice in one object"),
        ('{"name": NaN}', "NaN is not a JSON value"),
        ('{"name": 1e999}', "has a number that is too large"),
        ('{"name": ' + "9" * 5000 + "}", "has a number of too many digits"),
        ("[" * 100_000, "is nested too deep"),
    ],
    ids=lambda one: repr(one[:20]),
)
def test_bad_json_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = written(tmp_path, content, "plan.json")

    assert refusal(path) == f"{path}: {message}" or refusal(path).startswith(f"{path}: {message}: ")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(f"{tmp_path}/nowhere.yaml") == f"{tmp_path}/nowhere.yaml: can't be read: No such file or directory"
    assert refusal(str(tmp_path)) == f"{tmp_path}: can't be read: Is a directory"


def test_a_name_is_judged_as_the_server_judges_it() -> None:
    assert PLAN_NAME.pattern == plans.PLAN_NAME.pattern


def test_details_of_the_server_become_a_reason_for_each_place() -> None:
    details = {"steps": {"2": {"after": ["must be a duration"], "updates": ["is required", "too"]}}, "x": ["unknown"]}

    assert [(shown(path), reason) for path, reason in flattened(details)] == [
        ("steps[2].after", "must be a duration"),
        ("steps[2].updates", "is required"),
        ("steps[2].updates", "too"),
        ("x", "unknown"),
    ]


def test_reasons_are_told_in_the_order_of_the_file_with_their_lines() -> None:
    details = {"flags": {"0": ["must be a string"]}, "steps": {"1": {"after": ["is wrong"]}}, "title": ["is long"]}

    refused = a_plan_file(steps=2, steps__1=4, steps__1__after=5, flags=9).refused("The plan is refused", details)

    assert str(refused).splitlines() == [
        "plan.yaml: title: is long",
        "plan.yaml: steps[1].after: is wrong (line 5)",
        "plan.yaml: flags[0]: must be a string (line 9)",
    ]


def test_a_reason_for_the_whole_plan_or_none_at_all_is_told_without_a_place() -> None:
    assert str(a_plan_file().refused("The plan is refused", ["must set something"])) == "plan.yaml: must set something"
    assert str(a_plan_file().refused("flag 'a' has too many", None)) == "plan.yaml: flag 'a' has too many"


def test_of_very_many_reasons_the_first_are_told() -> None:
    details = {"changes": {str(n): {"scheduledAt": ["must be in the future"]} for n in range(200)}}

    lines = str(a_plan_file().refused("", details)).splitlines()

    assert len(lines) == 21
    assert lines[-1] == "plan.yaml: and 180 more"


def test_what_would_move_the_cursor_of_a_terminal_is_escaped() -> None:
    refused = a_plan_file().refused("", {"x": ["\x1b[2Jno\ud800"]})

    assert str(refused) == "plan.yaml: x: \\x1b[2Jno\\ud800"
