"""Settings: only this room reads the environment. A wrong setting is refused with the variable's name."""
