"""APScheduler around `usecases.materialise`: when to tick, and how to survive failures."""
