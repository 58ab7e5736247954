"""The live page of a run of a user's own program."""
