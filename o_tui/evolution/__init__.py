"""The pure parts of evolution: genome, validation, evidence, arbiter. No process control."""
