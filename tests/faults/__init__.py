"""Real faults: what is killed, stopped or cut off, and what must hold all the same."""
