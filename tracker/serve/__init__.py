"""A run while it runs: a page to look at, and events sent to brokers and hooks."""
