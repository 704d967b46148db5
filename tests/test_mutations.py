"""Each mutation takes out what stands in the code as it is now; whether tests miss it, `dev.py mutations` finds out."""

import pytest

from tests.mutations.__main__ import MUTATIONS
from tests.mutations.records import Mutation
from tests.processes import ROOT


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_what_a_mutation_takes_out_stands_there_once(mutation: Mutation) -> None:
    assert [(path, (ROOT / path).read_text().count(there)) for path, there, _ in mutation.edits] == [
        (path, 1) for path, _, _ in mutation.edits
    ]


def test_no_two_mutations_have_one_name() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)
