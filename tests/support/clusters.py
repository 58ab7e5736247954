"""A real Dask scheduler and real workers, on this machine, in processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from distributed import Client, Security

from tests.support.patience import PATIENCE_S

TLS = "DASK_DISTRIBUTED__COMM__TLS__"


class Scheduler:
    """A scheduler and its workers; `environment` has Dask's settings."""

    def __init__(self, folder: Path, scheme: str = "tcp", environment: Mapping[str, str] | None = None) -> None:
        folder.mkdir()
        self._folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DASK_CONFIG": str(folder),
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
            **(environment or {}),
        }
        found = folder / "scheduler.json"
        self.process = self._start("dask_scheduler", f"--host={scheme}://127.0.0.1:0", f"--scheduler-file={found}")
        deadline = time.monotonic() + PATIENCE_S
        while not found.exists() or not found.read_text().strip():
            assert self.process.poll() is None and time.monotonic() < deadline, "the scheduler does not start"
            time.sleep(0.05)
        self._file = found
        self.workers: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        return str(json.loads(self._file.read_text())["address"])

    def worker(self, *words: str) -> subprocess.Popen[bytes]:
        """One more, with one thread, as docs/EVOLUTION.md starts it."""
        local = f"--local-directory={self._folder / 'local'}"
        known = f"--scheduler-file={self._file}"
        process = self._start("dask_worker", known, "--nthreads=1", "--no-nanny", "--memory-limit=0", local, *words)
        self.workers.append(process)
        return process

    def have(self, count: int) -> None:
        """As many workers as this, all of which the scheduler knows."""
        self.workers = [each for each in self.workers if each.poll() is None]
        while len(self.workers) < count:
            self.worker()
        security = Security(
            require_encryption=self.address.startswith("tls"),
            tls_ca_file=self.environment.get(f"{TLS}CA_FILE"),
            tls_client_cert=self.environment.get(f"{TLS}CLIENT__CERT"),
            tls_client_key=self.environment.get(f"{TLS}CLIENT__KEY"),
        )
        with Client(self.address, security=security, set_as_default=False) as client:
            client.wait_for_workers(count, 60)

    def _start(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{program}", "--no-dashboard", *words]
        log = (self._folder / "log").open("ab")
        with log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, cwd=self._folder)

    def close(self) -> None:
        for process in (*self.workers, self.process):
            process.kill()
            process.wait()


@contextlib.contextmanager
def scheduler(folder: Path, scheme: str = "tcp", environment: Mapping[str, str] | None = None) -> Iterator[Scheduler]:
    """A scheduler; it ends afterwards, with its workers."""
    found = Scheduler(folder, scheme, environment)
    try:
        yield found
    finally:
        found.close()


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL, as a machine that is gone."""
    process.kill()
    process.wait()
