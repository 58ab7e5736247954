"""The view's end of the guardian's socket."""
