"""The supervision layer: everything that must not die."""
