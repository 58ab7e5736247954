"""O: a terminal application for an agent that rewrites its own code, and the guardian that makes it safe."""
