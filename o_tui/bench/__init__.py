"""What `o-tui bench NAME` measures: one module a benchmark, with `run(arguments) -> report.Report`.

A module is imported only when it runs, and needs nothing that O does not need itself.
"""
