"""What recording stands on, with time that passes only by the manual clock."""

import pytest

from flagsched.usecases.materialise import Setbacks
from tests.builders import ManualClock


@pytest.fixture
def setbacks(clock: ManualClock) -> Setbacks:
    return Setbacks(lambda: clock().timestamp())
