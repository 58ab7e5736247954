"""What the guardian keeps: one SQLite database, its mirrors, and the files of the vault."""
