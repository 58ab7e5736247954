"""The guardian's own figures, by name, for whoever scrapes them."""

from __future__ import annotations

from typing import Any

from o_tui.guardian.telemetry import Telemetry

STATES = ("done", "failed", "quarantined")


class Metrics:
    """Counts while the guardian works; `read` adds what is true just now."""

    def __init__(self) -> None:
        self._telemetry = Telemetry()

    def answered(self, state: str, elapsed_ms: float) -> None:
        """A request has ended: done, failed or quarantined."""
        self._telemetry.counter("o_requests_total", "Requests that have ended.", state=state).add()
        self._telemetry.histogram("o_request_seconds", "From acceptance to the durable end.").record(
            int(elapsed_ms * 1e6)
        )

    def died(self, role: str) -> None:
        """An instance has ended."""
        self._telemetry.counter("o_instance_deaths_total", "Instances that have ended.", role=role).add()

    def refused(self, layer: str) -> None:
        """The sandbox has refused an instance something new."""
        self._telemetry.counter("o_violations_total", "What the sandbox refused, each thing once.", layer=layer).add()

    def recovered(self, took_ns: int) -> None:
        """Another main has taken over."""
        self._telemetry.histogram("o_recovery_seconds", "From a death of main to the next one.").record(took_ns)

    def read(self, now: dict[str, Any]) -> Telemetry:
        """All figures; `now` is what `Guardian.telemetry` says."""
        for name, text, value in (
            ("o_wal_entries", "The last durable entry of the log.", now["wal"]["seq"]),
            ("o_requests_in_flight", "Requests that have not ended.", now["in_flight"]),
            ("o_loop_delay_p99_ms", "How late the guardian's loop is.", now["loop"]["p99_ms"]),
            ("o_model_calls", "Calls of the model.", now["usage"]["calls"]),
            ("o_model_input_tokens", "Tokens given to the model.", now["usage"]["input_tokens"]),
            ("o_model_output_tokens", "Tokens made by the model.", now["usage"]["output_tokens"]),
        ):
            self._telemetry.gauge(name, text, lambda value=value: float(value))  # type: ignore[misc]
        self._of_instances(now["instances"])
        return self._telemetry

    def _of_instances(self, rows: list[dict[str, Any]]) -> None:
        """What each instance that runs now says of itself in shared memory."""
        gauges = (
            ("o_instance_requests", "Requests given to an instance.", "requests"),
            ("o_instance_errors", "Requests that an instance says it failed.", "errors"),
            ("o_instance_heartbeat_age_ms", "Since an instance was heard.", "heartbeat_age_ms"),
            ("o_instance_resident_bytes", "Resident memory of an instance.", "rss_bytes"),
            ("o_instance_p50_ms", "What half of its requests took, as an instance says.", "p50_ms"),
            ("o_instance_p99_ms", "What 99 of 100 of its requests took, as an instance says.", "p99_ms"),
        )
        for name, text, key in gauges:
            self._telemetry.forget(name)
            for row in rows:
                if row[key] is not None:
                    labels = {"instance": row["name"], "role": row["role"]}
                    self._telemetry.gauge(name, text, lambda value=row[key]: float(value), **labels)  # type: ignore[misc]
