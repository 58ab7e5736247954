# Everything a developer does here. `just` lists it.

default:
    @just --list

# set up and start O
run *ARGS:
    @[ -x .venv/bin/o-tui ] || (python3 -m venv .venv && .venv/bin/pip install -q --require-hashes -r .ci/lock/dev.txt && .venv/bin/pip install -q --no-deps --no-build-isolation -e .)
    .venv/bin/o-tui {{ARGS}}

# every check and test
test *ARGS:
    bash .ci/test {{ARGS}}

# what must pass before a change lands
ci:
    bash .ci/run

# measure everything and rewrite the table in docs/PERFORMANCE.md
bench *ARGS:
    .venv/bin/python -m tests.benchmarks {{ARGS}}

# kill processes at random moments for SECONDS and count what is lost
torture SECONDS="600":
    O_TORTURE_SECONDS={{SECONDS}} .venv/bin/python -m pytest -q -m torture tests/faults

# recall evolves on conversations (O_TUI_LOCOMO names them, else made ones), with proof; `just story --write` for the README
story *ARGS:
    .venv/bin/python -m tests.story {{ARGS}}

# tests with a real local language model (O_TUI_MODELS names the folder of its files)
model:
    .venv/bin/python -m pytest -q -m model

# write the generated documents anew
docs:
    .venv/bin/python -m o_tui.protocol.document
    .venv/bin/python -m o_tui.cli.document
    .venv/bin/python -m tests.unit.test_architecture_document

# write the lock files anew
lock:
    bash .ci/lock/compile --upgrade
