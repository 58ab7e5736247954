"""OpenEvolve as a whole, with a model that answers at once: evaluations per second, without confinement.

Run by the interpreter of the peer's own virtual environment: `python program_peer.py EVALUATOR PROGRAM COUNT`. The
model is a server on this machine that changes one number. Prints evaluations per second, from the first to the last.
"""

from __future__ import annotations

import asyncio
import http.server
import json
import logging
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from openevolve import OpenEvolve
from openevolve.config import Config, LLMModelConfig

PARALLEL = 2
ANSWER = "```python\n# EVOLVE-BLOCK-START\nA = {a}\nB = 2.0\n\n\ndef score():\n    return 10.0 - (A - 1.25) ** 2 - abs(B + 0.75)\n# EVOLVE-BLOCK-END\n```"  # noqa: E501


class Model(http.server.BaseHTTPRequestHandler):
    """Speaks just enough of a chat endpoint."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": ANSWER.format(a=random.uniform(0, 3))}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = json.dumps(
            {"id": "x", "object": "chat.completion", "created": 1, "model": "fake", "choices": [choice],
             "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
        ).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def main(evaluator: str, program: str, count: int) -> None:
    """Runs it once."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "times"
        timed = Path(folder) / "evaluator.py"
        text = Path(evaluator).read_text("utf-8")
        note = f"    open({str(log)!r}, 'a').write(f'{{__import__(\"time\").monotonic()}}\\n')\n"
        head = "def evaluate(program_path):\n"
        timed.write_text(text.replace(head, head + note), "utf-8")
        config = Config(max_iterations=count, diff_based_evolution=False, random_seed=1)
        address = f"http://127.0.0.1:{server.server_port}/v1"
        config.llm.models = [LLMModelConfig(name="fake", api_base=address, api_key="none", weight=1.0, timeout=30)]
        config.llm.evaluator_models = config.llm.models
        config.llm.api_base, config.llm.api_key = address, "none"
        config.evaluator.parallel_evaluations = PARALLEL
        config.evaluator.cascade_evaluation = False
        config.checkpoint_interval = count * 10
        logging.disable(logging.CRITICAL)
        made = OpenEvolve(program, str(timed), config=config, output_dir=folder)
        asyncio.run(made.run(iterations=count))
        times = sorted(float(line) for line in log.read_text().splitlines())
    skipped = len(times) // 10  # while processes start
    print((len(times) - skipped - 1) / (times[-1] - times[skipped]))


if __name__ == "__main__":
    started = time.monotonic()
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    print(f"{time.monotonic() - started:.1f} s in all", file=sys.stderr)
