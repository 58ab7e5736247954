"""The diff of the review: parsing, layout, highlighting and the view, line by line, so that size does not matter."""
