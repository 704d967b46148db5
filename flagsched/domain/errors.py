"""Everything that flagsched refuses or cannot do, as one tree.

FlagschedError
├── Refused                  the request is at fault, nothing was stored
│   ├── ValidationFailed     400  what, where and why
│   │   ├── InstantsRefused
│   │   └── DuplicateInstants
│   ├── Unauthenticated      401
│   ├── Forbidden            403
│   ├── RateLimited          429  try again after `retry_after` seconds
│   ├── FlagMissing          404
│   │   └── FlagsMissing
│   ├── ScheduleMissing      404
│   ├── OverrideMissing      404
│   ├── PlanMissing          404
│   ├── HoldMissing          404
│   ├── EnvironmentMissing   404
│   ├── FlagExists           409
│   ├── FlagChanged          412
│   ├── PlanExists           409
│   ├── PlanChanged          412
│   ├── PlanEnded            409
│   ├── HoldOver             409
│   ├── Frozen               409
│   ├── EntryMissing         404
│   ├── NothingToUndo        409
│   ├── ChangedSince         409
│   ├── KeyReused            422
│   ├── KeyInProgress        409  try again after `retry_after` seconds
│   ├── QuotaExceeded        409
│   ├── PlanTooLong          409
│   ├── TooManyOverrides     409
│   ├── TooManyHolds         409
│   └── AlreadyEnded         409
│       ├── AlreadyApplied
│       ├── AlreadyCancelled
│       ├── AlreadyFailed
│       └── AlreadySkipped
└── Unavailable              503  try again after `retry_after` seconds
    ├── FlagBusy
    │   └── Overtaken
    ├── DatabaseUnavailable
    │   ├── DatabaseReadOnly
    │   └── DiskFull
    ├── SchemaOutdated
    ├── IssuerUnavailable
    └── StatementFailed
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias
from uuid import UUID

# A tree that mirrors the request: field names and list indices at the nodes, lists of reasons at the leaves.
Details = Mapping[Any, Any]
Path: TypeAlias = tuple[str | int, ...]
"""Where in a request something stands: names of fields and indices of lists."""
WHATS = {"write": "writes", "sign-in": "failed sign-ins"}
NOT_VALID = "The request is not valid"
MUST_BE_FUTURE = "must be in the future"
BULK_REFUSED = "Bulk creation failed: all schedules rolled back"
PLAN_REFUSED = "The plan is refused as a whole: nothing of it was stored"
PLAN_KEPT = "The change is refused as a whole: the plan is as it was"


def _quoted(text: object) -> str:
    return repr(str(text)[:100])  # Callers send longer ones than there can be.


def _tree(reasons: Iterable[tuple[Path, str]]) -> Details:
    tree: dict[Any, Any] = {}
    for path, reason in reasons:
        *branches, leaf = path
        node = tree
        for branch in branches:
            node = node.setdefault(branch, {})
        node.setdefault(leaf, []).append(reason)
    return tree


def _shown(path: Path) -> str:
    """As JavaScript would write it: `schedules[3]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


class FlagschedError(Exception):
    """Has a stable `code` and a message for a person."""

    code: ClassVar[str] = "INTERNAL_ERROR"

    @property
    def message(self) -> str:
        """What happened, and to which."""
        return str(self)


class Refused(FlagschedError):
    """The request is at fault; nothing was stored.

    `details` is a tree that mirrors the request, with a list of reasons at each leaf; None if there is no more to say.
    """

    details: Details | None = None


class ValidationFailed(Refused):
    """The request is not well formed."""

    details: Details

    code = "Validation failed"

    def __init__(self, details: Details, message: str = NOT_VALID) -> None:
        super().__init__(message)
        self.details = details


class InstantsRefused(ValidationFailed):
    """Changes that are not in the future, or too far in it: the reason for each, by where the request says when."""

    def __init__(self, reasons: Mapping[Path, str], message: str = NOT_VALID) -> None:
        super().__init__(_tree(reasons.items()), message)
        self.reasons = reasons


class DuplicateInstants(ValidationFailed):
    """Changes of one flag at the same instant: where each says when, with the earlier one that it repeats."""

    def __init__(self, twins: Mapping[Path, Path]) -> None:
        why = {path: f"is the same instant as in {_shown(first)}" for path, first in twins.items()}
        super().__init__(_tree(why.items()), "Duplicate scheduledAt times detected in batch")
        self.twins = twins


class Unauthenticated(Refused):
    """The request carries no valid token or key; `problem` is what is wrong with the one that it does carry."""

    code = "UNAUTHORIZED"

    def __init__(self, message: str, problem: str | None = None) -> None:
        super().__init__(message)
        self.problem = problem


class Forbidden(Refused):
    """The token is valid, but does not give this right."""

    code = "FORBIDDEN"


class RateLimited(Refused):
    """Too many in a minute; `retry_after` is in seconds."""

    code = "RATE_LIMITED"

    def __init__(self, what: str, most: int, retry_after: int) -> None:
        super().__init__(f"more than {most} {WHATS.get(what, what)} in a minute")
        self.retry_after = retry_after


class FlagMissing(Refused):
    """No such flag, or it is archived."""

    code = "FLAG_NOT_FOUND"

    def __init__(self, environment: str, key: str) -> None:
        super().__init__(f"flag {_quoted(key)} does not exist in {_quoted(environment)}")
        self.environment, self.key = environment, key


class FlagsMissing(FlagMissing):
    """Some flags that a plan is to change: the reason for each, by where the request names it."""

    def __init__(self, reasons: Sequence[tuple[Path, FlagMissing]]) -> None:
        missing: Sequence[FlagMissing] = list({(one.environment, one.key): one for _, one in reasons}.values())
        super().__init__(missing[0].environment, missing[0].key)
        self.details = _tree((path, str(reason)) for path, reason in reasons)
        self.missing = missing

    @property
    def message(self) -> str:
        """All of them, or the first ten."""
        more = f", and {len(self.missing) - 10} more" if len(self.missing) > 10 else ""
        return "; ".join(str(one) for one in self.missing[:10]) + more


class ScheduleMissing(Refused):
    """No such schedule of this flag."""

    code = "SCHEDULE_NOT_FOUND"

    def __init__(self, schedule_id: object, key: str) -> None:
        super().__init__(f"schedule {_quoted(schedule_id)} of flag {_quoted(key)} does not exist")
        self.schedule_id, self.key = schedule_id, key


class OverrideMissing(Refused):
    """The user of the flag is not set apart."""

    code = "OVERRIDE_NOT_FOUND"

    def __init__(self, user_id: str, key: str) -> None:
        super().__init__(f"flag {key!r} has no override for user {_quoted(user_id)}")
        self.user_id, self.key = user_id, key


class FlagExists(Refused):
    """The key is taken in this environment."""

    code = "FLAG_EXISTS"

    def __init__(self, environment: str, key: str) -> None:
        super().__init__(f"flag {key!r} already exists in {environment!r}")
        self.environment, self.key = environment, key


class FlagChanged(Refused):
    """The flag is not in the version that the request is made for."""

    code = "PRECONDITION_FAILED"

    def __init__(self, key: str, version: int) -> None:
        super().__init__(f"flag {key!r} is not what If-Match says any more: it is in version {version}")
        self.key, self.version = key, version


class PlanMissing(Refused):
    """There is no plan of that id, or of that name."""

    code = "PLAN_NOT_FOUND"

    def __init__(self, which: UUID | str) -> None:
        super().__init__(f"plan {_quoted(which)} does not exist")
        self.which = which


class PlanExists(Refused):
    """A plan of that name has not been ended."""

    code = "PLAN_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(f"plan {_quoted(name)} already exists; DELETE ends it")
        self.name = name


class PlanChanged(Refused):
    """The plan is in another version than the change was made for."""

    code = "PLAN_CHANGED"

    def __init__(self, plan_id: UUID, version: int) -> None:
        super().__init__(f"plan '{plan_id}' has changed: it is in version {version}")
        self.plan_id, self.version = plan_id, version


class PlanEnded(Refused):
    """The plan was ended, or nothing of it is ahead that could be moved."""

    code = "PLAN_ENDED"

    def __init__(self, plan_id: UUID) -> None:
        super().__init__(f"plan '{plan_id}' has ended: nothing of it is ahead")
        self.plan_id = plan_id


class KeyReused(Refused):
    """The Idempotency-Key stands for another request."""

    code = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self, key: str) -> None:
        super().__init__(f"Idempotency-Key {_quoted(key)} was used for another method, path, query or body")
        self.key = key


class KeyInProgress(Refused):
    """The request of this Idempotency-Key is still running; `retry_after` is in seconds."""

    code = "IDEMPOTENCY_IN_PROGRESS"
    retry_after: ClassVar[int] = 1

    def __init__(self, key: str) -> None:
        super().__init__(f"the request with Idempotency-Key {_quoted(key)} is still running; try again")
        self.key = key


class QuotaExceeded(Refused):
    """The flag would have more pending schedules than it may."""

    code = "QUOTA_EXCEEDED"

    def __init__(self, key: str, pending: int, asked: int, most: int) -> None:
        super().__init__(f"flag {key!r} has {pending} pending schedules; {asked} more would make it over {most}")
        self.pending, self.asked, self.most = pending, asked, most


class PlanTooLong(Refused):
    """The plan would have more schedules, cancelled ones too, than it may in its life."""

    code = "QUOTA_EXCEEDED"

    def __init__(self, plan_id: UUID, most: int) -> None:
        super().__init__(f"plan '{plan_id}' may have {most} schedules in all, with those that were cancelled; end it")
        self.plan_id, self.most = plan_id, most


class TooManyOverrides(Refused):
    """The flag would have more overrides than it may."""

    code = "QUOTA_EXCEEDED"

    def __init__(self, key: str, most: int) -> None:
        super().__init__(f"flag {key!r} may have {most} overrides at most, those that are planned included")
        self.key, self.most = key, most


class TooManyHolds(Refused):
    """The flag or the environment would have more holds than it may."""

    code = "QUOTA_EXCEEDED"

    def __init__(self, held: str, most: int) -> None:
        super().__init__(f"{held} may have {most} holds that are not over at most")
        self.held, self.most = held, most


class HoldMissing(Refused):
    """There is no such hold."""

    code = "HOLD_NOT_FOUND"

    def __init__(self, hold_id: UUID) -> None:
        super().__init__(f"hold '{hold_id}' does not exist")
        self.hold_id = hold_id


class EnvironmentMissing(Refused):
    """Nothing was ever stored in this environment."""

    code = "ENVIRONMENT_NOT_FOUND"

    def __init__(self, environment: str) -> None:
        super().__init__(f"environment {_quoted(environment)} does not exist: no flag was ever created in it")
        self.environment = environment


class HoldOver(Refused):
    """The hold is over, so nothing of it can be changed."""

    code = "HOLD_OVER"

    def __init__(self, hold_id: UUID) -> None:
        super().__init__(f"hold '{hold_id}' is over")
        self.hold_id = hold_id


class Frozen(Refused):
    """A hold refuses edits by hand."""

    code = "FROZEN"

    def __init__(self, hold_id: UUID, reason: str, until: str | None) -> None:
        ends = f"until {until}" if until else "until it is released"
        super().__init__(
            f"edits are refused {ends} by hold '{hold_id}' ({reason}); ?override=REASON lets this one through"
        )
        self.hold_id = hold_id


class EntryMissing(Refused):
    """No such entry in the history of the flag."""

    code = "ENTRY_NOT_FOUND"

    def __init__(self, entry_id: int, key: str) -> None:
        super().__init__(f"the history of flag {key!r} has no entry {entry_id}")
        self.entry_id, self.key = entry_id, key


class NothingToUndo(Refused):
    """What is to be undone has left nothing that could be set back."""

    code = "NOTHING_TO_UNDO"

    def __init__(self, why: str) -> None:
        super().__init__(f"there is nothing to undo: {why}")


class ChangedSince(Refused):
    """What is to be undone was changed again since.

    `details` has for each field what the entry made it (`then`), what it was `before`, and what it is `now`; those of a
    plan by its flags.
    """

    code = "CHANGED_SINCE"

    def __init__(self, details: Details) -> None:
        names = ", ".join(map(str, details))
        super().__init__(f'{names}: changed since. "force": true sets it back all the same')
        self.details = details


class AlreadyEnded(Refused):
    """The schedule is not pending any more."""

    ending: ClassVar[str]

    def __init__(self, schedule_id: UUID) -> None:
        super().__init__(f"schedule '{schedule_id}' {self.ending}")
        self.schedule_id = schedule_id


class AlreadyApplied(AlreadyEnded):
    """It is in effect."""

    code = "ALREADY_APPLIED"
    ending = "is already in effect"


class AlreadyCancelled(AlreadyEnded):
    """It was cancelled before."""

    code = "ALREADY_CANCELLED"
    ending = "is already cancelled"


class AlreadyFailed(AlreadyEnded):
    """Its instant came, and its updates could not be read."""

    code = "ALREADY_FAILED"
    ending = "has failed, and changed nothing"


class AlreadySkipped(AlreadyEnded):
    """Its instant came, and a hold or its condition had it skipped."""

    code = "ALREADY_SKIPPED"
    ending = "was skipped, and changed nothing"


class Unavailable(FlagschedError):
    """Not now: nothing was stored. `retry_after` is in seconds; `cause` is for the log, and not for callers."""

    retry_after: ClassVar[int] = 1

    def __init__(self, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause or message

    def again(self) -> Self:
        """The same for another caller, without this one's traceback."""
        same = type(self).__new__(type(self), *self.args)
        vars(same).update(vars(self))
        return same


class FlagBusy(Unavailable):
    """Somebody else has held the flag's lock for as long as we wait."""

    code = "FLAG_BUSY"


class Overtaken(FlagBusy):
    """Something of the flag's plan took effect while it was being changed: what was decided no longer holds."""


class DatabaseUnavailable(Unavailable):
    """The database does not answer, or no connection to it is free."""

    code = "DATABASE_UNAVAILABLE"
    retry_after = 2


class DatabaseReadOnly(DatabaseUnavailable):
    """The server that answers takes no writes: what it holds may be old, so it is not read either."""


class DiskFull(DatabaseUnavailable):
    """The database has no room to write: it may still be read."""

    code = "DISK_FULL"
    retry_after = 30


class SchemaOutdated(Unavailable):
    """The database's schema is older than this release needs."""

    code = "SCHEMA_OUTDATED"
    retry_after = 5

    def __init__(self, found: str | None, wanted: str, cause: str = "") -> None:
        super().__init__(
            f"the database is at schema revision {found or 'none'}, this release needs {wanted}: "
            "run 'flagsched db upgrade'",
            cause,
        )
        self.found, self.wanted = found, wanted


class IssuerUnavailable(Unavailable):
    """The keys that tokens are verified with were never read: their issuer does not answer."""

    code = "ISSUER_UNAVAILABLE"
    retry_after = 2

    def __init__(self) -> None:
        super().__init__("tokens can't be verified now: the keys of their issuer could not be read yet")


class StatementFailed(Unavailable):
    """The database refused a statement, by a rule of its own or for taking too long."""

    code = "DATABASE_REFUSED"
