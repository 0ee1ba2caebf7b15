"""Identity: which model a call asks, and what it sends. Calls of one identity have one key."""
