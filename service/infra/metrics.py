"""Figures for Prometheus: one registry a process, every name begins with `ilim_`."""

from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def counter(name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
    return Counter(_own(name), meaning, labels, registry=REGISTRY)


def gauge(name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
    return Gauge(_own(name), meaning, labels, registry=REGISTRY)


def histogram(name: str, meaning: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS) -> Histogram:
    return Histogram(_own(name), meaning, labels, registry=REGISTRY, buckets=buckets)


def _own(name: str) -> str:
    if not name.startswith("ilim_"):
        raise ValueError(f"{name}: a figure of ours is named ilim_…")
    return name


def exposition() -> tuple[bytes, str]:
    """The body of /metrics and its content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST


# Route templates, never paths: an id in a label would be a series of its own.
HTTP_SECONDS = histogram("ilim_http_request_seconds", "Time to answer a request", ("method", "route", "status"))
HTTP_IN_FLIGHT = gauge("ilim_http_requests_in_flight", "Requests being answered now")
CLOCK_STALE = gauge("ilim_clock_stale", "1 while the driven clock cannot be reached")
LEASE_HELD = gauge("ilim_lease_held", "1 while this process holds the lease", ("name",))
JOB_RUNS = counter("ilim_job_runs_total", "Runs of jobs that ended here", ("job",))
NOTIFY_ERRORS = counter("ilim_notify_errors_total", "NOTIFY or LISTEN connections lost", ("part",))
