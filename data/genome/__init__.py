"""The genome: what this agent may change about itself."""
