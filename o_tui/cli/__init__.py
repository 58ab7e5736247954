"""The commands: every action of the screen has one, each with --json."""
