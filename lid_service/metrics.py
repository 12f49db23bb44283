"""What the service counts. No label is a language: there may be thousands."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class LidMetrics:
    """Collectors of one process.

    Attributes:
        batch_windows: windows of each batch; its sum is the windows identified.
        queue_seconds: of each window that is run, from its arrival to the model.
        compute_seconds: of each batch in the model.
        dropped: windows that were not answered: `gone` (the caller), `deadline`, `overloaded`,
            `failed`.
        undetermined: answers without a language: `no_speech`, `hesitation`.
        streams: streams that are open.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`, which has none of them yet."""
        self.batch_windows = Histogram(
            "panglot_lid_batch_windows",
            "Windows in a batch",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        self.queue_seconds = Histogram(
            "panglot_lid_queue_seconds",
            "Time a window waits for the model",
            buckets=_SECONDS,
            registry=registry,
        )
        self.compute_seconds = Histogram(
            "panglot_lid_compute_seconds",
            "Time a batch is in the model",
            buckets=_SECONDS,
            registry=registry,
        )
        self.dropped = Counter(
            "panglot_lid_dropped_windows", "Windows not answered", ["reason"], registry=registry
        )
        self.undetermined = Counter(
            "panglot_lid_undetermined_windows",
            "Answers that name no language",
            ["reason"],
            registry=registry,
        )
        self.streams = Gauge("panglot_lid_streams", "Streams open", registry=registry)
