"""How code changes: what calls for it, what measures it, and what it takes to be in service."""
