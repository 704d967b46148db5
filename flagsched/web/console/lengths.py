"""Lengths of time in forms: a number and a unit."""

UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
"""What a person chooses, by the value of the choice."""
PATTERNS = {"min": "PT{}M", "h": "PT{}H", "d": "P{}D", "w": "P{}W"}


def length_of(number: str, unit: str) -> str:
    """An ISO 8601 duration as the API takes it; what was typed, where it is none, for the API to refuse."""
    typed = number.strip()
    return PATTERNS[unit].format(typed) if typed.isascii() and typed.isdigit() and unit in PATTERNS else typed
