"""An OpenFeature provider that evaluates with flagsched in the same process. Needs the extra `openfeature`."""

from typing import Any, NoReturn, Protocol

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError, TargetingKeyMissingError, TypeMismatchError
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.provider import AbstractProvider, Metadata

from flagsched.domain.errors import FlagMissing
from flagsched.domain.flags import DEFAULT_ENVIRONMENT
from flagsched.snapshots.evaluation import Evaluated


class Evaluator(Protocol):
    """`flagsched.FlagSched`, or anything that evaluates like it."""

    def evaluate(self, flag_key: str, user_id: str | None = None, environment: str = ...) -> Evaluated:
        """The flag, and its value for a user; FlagMissing."""


class FlagSchedProvider(AbstractProvider):
    """Boolean flags of one environment; the context's targeting key is the user."""

    def __init__(self, flags: Evaluator, environment: str = DEFAULT_ENVIRONMENT) -> None:
        super().__init__()
        self._flags = flags
        self._environment = environment

    def get_metadata(self) -> Metadata:
        """Its name."""
        return Metadata("flagsched")

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: ARG002 - the SDK returns it when we raise
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """The value with its reason; FlagNotFoundError, TargetingKeyMissingError."""
        evaluated = self._evaluate(flag_key, evaluation_context)
        evaluation = evaluated.evaluation
        if evaluation.reason is None:
            raise TargetingKeyMissingError(f"flag {flag_key!r} is on for a percentage of users")
        return FlagResolutionDetails(
            value=evaluation.value,
            variant=evaluation.variant,
            reason=evaluation.reason.value,
            flag_metadata=evaluated.flag.metadata,
        )

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: Any,  # noqa: ARG002 - the SDK returns it when we raise
        evaluation_context: EvaluationContext | None = None,
    ) -> NoReturn:
        """TypeMismatchError: a flag is on or off; FlagNotFoundError."""
        self._evaluate(flag_key, evaluation_context)
        raise TypeMismatchError(f"flag {flag_key!r} is a boolean")

    resolve_integer_details = resolve_float_details = resolve_object_details = resolve_string_details

    def _evaluate(self, flag_key: str, context: EvaluationContext | None) -> Evaluated:
        user = context.targeting_key if context else None
        try:
            return self._flags.evaluate(flag_key, user, environment=self._environment)
        except FlagMissing as error:
            raise FlagNotFoundError(error.message) from error
