"""What a process knows of its environments without a query: cached snapshots, and the thread that refreshes them."""
