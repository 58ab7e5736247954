"""The parts of the chat: Markdown as lines, the log, the prompt, its commands."""
