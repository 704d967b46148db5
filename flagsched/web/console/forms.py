"""Submitted forms: loaded as the API loads JSON; what is refused is shown beside what was typed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from flask import request
from marshmallow import ValidationError

from flagsched.domain.errors import Frozen, Refused, ValidationFailed
from flagsched.domain.flags import Precondition
from flagsched.domain.instants import rfc3339
from flagsched.domain.local_times import Fold, LocalTime
from flagsched.web.console.instants import PersonalTime
from flagsched.web.console.texts import advice, reasons
from flagsched.web.errors import log_refusal, status_of
from flagsched.web.schemas.strict import Strict


class Refusals:
    """Where a refusal ends, in `with form.refusals():`; what follows shows the form again."""

    def __init__(self, form: "Form") -> None:
        self._form = form

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        """Keep a refusal; let all else through."""
        if not isinstance(error, Refused):
            return False
        log_refusal(error)
        self._form.error = error
        return True


REASON_NEEDED = "Say why: it stands in the history."


@dataclass(slots=True)
class Form:
    """What a form holds: what was typed or else the defaults, and why it was refused if it was."""

    defaults: Mapping[str, str] = field(default_factory=dict)
    error: Refused | None = None

    @property
    def sent(self) -> bool:
        """Was it submitted?"""
        return request.method == "POST"

    @property
    def status(self) -> HTTPStatus:
        """That of the page that shows it."""
        return HTTPStatus.OK if self.error is None else status_of(self.error)

    @property
    def message(self) -> str:
        """What was refused."""
        return self.error.message if self.error else ""

    @property
    def reasons(self) -> list[str]:
        """Why, each with where."""
        return reasons(self.error.details) if self.error and self.error.details else []

    @property
    def advice(self) -> str:
        """What to do about it."""
        return advice(self.error) if self.error else ""

    @property
    def frozen(self) -> bool:
        """Is it refused for a freeze, and goes through with a reason?"""
        return isinstance(self.error, Frozen) or bool(self["override"])

    def __getitem__(self, name: str) -> str:
        if self.sent and name in request.form:
            return request.form[name]
        return self.defaults.get(name, "")

    def checked(self, name: str) -> bool:
        """Is a box ticked?"""
        return name in request.form if self.sent else bool(self.defaults.get(name))

    def all(self, name: str) -> list[str]:
        """All values of a name, in order."""
        return request.form.getlist(name)

    def refusals(self) -> "Refusals":
        """Keep what is refused, for the page that shows the form again."""
        return Refusals(self)

    def updates(self, prefix: str = "", suffix: str = "") -> dict[str, object]:
        """What the fields `enabled` and `percentage` set, as a body of the API has it; without what is empty."""
        enabled = {"on": True, "off": False}.get(self[f"{prefix}enabled{suffix}"])
        percentage = self[f"{prefix}percentage{suffix}"].strip()
        return {
            **({} if enabled is None else {"enabled": enabled}),
            **({"rolloutPercentage": number(percentage)} if percentage else {}),
        }

    @property
    def fold(self) -> dict[str, str]:
        """Which of two instants is meant where the clocks show a time twice, if it is said."""
        return {"fold": self["fold"]} if self["fold"] else {}

    def local_moment(self, name: str, time: PersonalTime) -> dict[str, str]:
        """A local time in the zone of the field `zone`, or else in the person's, as a body of the API has it."""
        return {"localTime": self[name].strip(), "timeZone": self.zone(time), **self.fold}

    def zone(self, time: PersonalTime) -> str:
        """The zone that is typed, or else the person's."""
        return self["zone"].strip() or time.zone_name

    def version_of(self, id_: UUID) -> Precondition:
        """The version that the person has seen of what has this id."""
        version = number(self["version"])
        return Precondition([(id_, version if isinstance(version, int) else 0)])

    def instant(self, name: str, time: PersonalTime) -> datetime | None:
        """A local time in the person's zone, or in that of the field `zone`; None if it was left empty."""
        text = self[name].strip()
        if not text:
            return None
        fold = self["fold"]
        try:
            return LocalTime.parse(text, self.zone(time), Fold(fold) if fold else None).instant()
        except ValueError as error:
            raise ValidationFailed({name: [str(error)]}) from error

    def rfc3339(self, name: str, time: PersonalTime) -> dict[str, str]:
        """The same as a body of the API has it; nothing if it was left empty."""
        at = self.instant(name, time)
        return {} if at is None else {name: rfc3339(at)}


def load(schema: type[Strict], data: Mapping[str, Any]) -> Any:
    """What a body or a query of the API loads; ValidationFailed."""
    try:
        return schema().load(data)
    except ValidationError as error:
        raise ValidationFailed(error.normalized_messages(), schema.refusal) from error


def number(text: str) -> object:
    """A number, if the text is one; else the text, for the schema to refuse."""
    stripped = text.strip()
    return int(stripped) if stripped.isascii() and stripped.isdigit() else stripped
