"""What use cases and snapshots need of the world, as protocols; `database/` implements them."""
