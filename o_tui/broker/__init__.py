"""The supervised process that does effects for instances; the only one with keys."""
