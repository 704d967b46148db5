"""The roles that a token may hold, and what each may do under /api/admin."""

from enum import StrEnum


class Role(StrEnum):
    """Each role may do all that the one before it may."""

    VIEWER = "viewer"
    """Read and preview."""
    OPERATOR = "operator"
    """Hold and release."""
    ADMIN = "admin"
    """Everything."""

    @property
    def sufficient(self) -> tuple["Role", ...]:
        """This role and those above it: each of them may do what this one may."""
        roles = tuple(Role)
        return roles[roles.index(self) :]


def one_of(roles: tuple[Role, ...]) -> str:
    """For a message: `'admin'`, or `'viewer', 'operator' or 'admin'`."""
    *others, last = (f"'{role}'" for role in roles)
    return f"{', '.join(others)} or {last}" if others else last
