"""Sample clips: made by a script, or fetched with a pinned hash."""
