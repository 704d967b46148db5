"""APScheduler around `usecases.materialise`: when to look, and how to live on."""
