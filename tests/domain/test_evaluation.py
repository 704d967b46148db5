"""For whom a flag is on: whatever the percentage and whoever asks."""

import json
from collections.abc import Mapping
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mmh3 import hash as murmur3

from flagsched.domain.effective import EffectiveFlag
from flagsched.domain.evaluation import Evaluation, Evaluator, Reason, bucket
from flagsched.domain.flags import FlagName
from tests.builders import a_flag, a_state
from tests.processes import ROOT

# st.text() alone makes lone surrogates nearly never, whatever its alphabet.
odd_texts = st.lists(st.characters() | st.characters(categories=["Cs"]), max_size=20).map("".join)
texts = st.text(st.characters(codec="ascii"), max_size=20) | st.text(max_size=20) | odd_texts
users = texts.filter(len)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


def an_evaluator(
    *,
    key: str = "new-checkout",
    enabled: bool = True,
    percentage: int = 100,
    overrides: Mapping[str, bool] | None = None,
) -> Evaluator:
    state = a_state(enabled=enabled, percentage=percentage)
    flag = a_flag(state=state, name=FlagName("production", key))
    return Evaluator(EffectiveFlag(flag, state, None, materialized=True), overrides or {})


def expected_bucket(key: str, user: str) -> int:
    """As docs/evaluation.md says, by bytes: the library would crash the process on a lone surrogate."""
    return int(murmur3(f"{key}/{user}".encode("utf-8", "surrogatepass"), 0, signed=False) % 10_000)


APART = {"ada": True, "bob": False}


@pytest.mark.parametrize(
    ("enabled", "percentage", "user", "expected"),
    [
        (False, 100, "carol", Evaluation(value=False, reason=Reason.DISABLED)),
        (False, 100, "ada", Evaluation(value=False, reason=Reason.DISABLED)),
        (True, 0, "ada", Evaluation(value=True, reason=Reason.TARGETING_MATCH)),
        (True, 100, "bob", Evaluation(value=False, reason=Reason.TARGETING_MATCH)),
        (True, 0, "carol", Evaluation(value=False, reason=Reason.STATIC)),
        (True, 0, None, Evaluation(value=False, reason=Reason.STATIC)),
        (True, 100, None, Evaluation(value=True, reason=Reason.STATIC)),
        (True, 50, None, Evaluation(value=False, reason=None)),
        (True, 50, "", Evaluation(value=False, reason=None)),
    ],
)
def test_the_value_and_its_reason(enabled: bool, percentage: int, user: str | None, expected: Evaluation) -> None:
    assert an_evaluator(enabled=enabled, percentage=percentage, overrides=APART).evaluate(user) == expected


@given(key=texts, user=texts)
@example(key="new-checkout", user="\ud800")
def test_whatever_is_asked_of_has_a_bucket(key: str, user: str) -> None:
    assert bucket(key, user) == expected_bucket(key, user)


@given(key=names, user=users, percentage=st.integers(1, 99), overrides=st.sampled_from([{}, {"u" * 21: True}]))
@example(key="new-checkout", user="\ud800", percentage=50, overrides={})
def test_a_percentage_is_of_the_buckets_below_it(
    key: str, user: str, percentage: int, overrides: dict[str, bool]
) -> None:
    told = an_evaluator(key=key, percentage=percentage, overrides=overrides).evaluate(user)

    assert told == Evaluation(value=expected_bucket(key, user) < percentage * 100, reason=Reason.SPLIT)


@cache
def users_by_bucket(key: str, user: str) -> dict[int, str]:
    return {expected_bucket(key, one): one for one in map(user.format, range(100_000))}


@pytest.mark.parametrize("overrides", [{}, APART], ids=["nobody set apart", "some set apart"])
@pytest.mark.parametrize("user", ["user-{}", "üser-{}"])
def test_a_percentage_ends_between_two_buckets(user: str, overrides: dict[str, bool]) -> None:
    flag = an_evaluator(percentage=30, overrides=overrides)
    by_bucket = users_by_bucket(flag.key, user)

    told = [flag.evaluate(by_bucket[number]).value for number in (0, 2999, 3000, 9999)]

    assert told == [True, True, False, False]


@given(key=names, user=users, low=st.integers(0, 100), more=st.integers(0, 100))
def test_raising_a_percentage_takes_the_flag_from_nobody(key: str, user: str, low: int, more: int) -> None:
    before = an_evaluator(key=key, percentage=low).evaluate(user).value
    after = an_evaluator(key=key, percentage=min(low + more, 100)).evaluate(user).value

    assert after or not before


@pytest.mark.parametrize("percentage", [1, 5, 33, 50, 99])
def test_the_share_is_within_a_hundredth_of_the_percentage(percentage: int) -> None:
    flag = an_evaluator(percentage=percentage)

    share = sum(flag.evaluate(f"user-{n}").value for n in range(20_000)) / 200

    assert abs(share - percentage) < 1


def test_two_flags_choose_independently_of_each_other() -> None:
    one, other = an_evaluator(key="one", percentage=50), an_evaluator(key="other", percentage=50)

    both = [(one.evaluate(f"user-{n}").value, other.evaluate(f"user-{n}").value) for n in range(20_000)]

    for pair in ((True, True), (True, False), (False, True), (False, False)):
        assert abs(both.count(pair) / 200 - 25) < 1


def test_the_vectors_for_other_languages_are_what_is_evaluated_here() -> None:
    vectors = json.loads((ROOT / "docs" / "evaluation-vectors.json").read_text())

    assert len(vectors) > 8
    assert [bucket(one["flagKey"], one["targetingKey"]) for one in vectors] == [one["bucket"] for one in vectors]
