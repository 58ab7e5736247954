"""Views: one Textual app over the guardian's public API."""
