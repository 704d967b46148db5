"""Who may ask for evaluations, from which pages, and how long answers are kept. Without Flask, for the settings."""

from dataclasses import dataclass
from enum import StrEnum


class Access(StrEnum):
    """What a caller of the OFREP routes must show."""

    PUBLIC = "public"
    KEY = "key"
    JWT = "jwt"


@dataclass(frozen=True, slots=True)
class EvaluationRules:
    """`keys` are what X-API-Key may say; `origins` those of web pages, `*` any; `max_age_seconds` of Cache-Control."""

    access: Access = Access.PUBLIC
    keys: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    max_age_seconds: int = 1


DEFAULT_RULES = EvaluationRules()
