"""What a worker can be told."""

from __future__ import annotations

from dataclasses import dataclass

from common.settings import setting


@dataclass(frozen=True)
class WorkerSettings:
    """Read from the environment by `common.settings.load_settings`."""

    worker_id: str = setting("PANGLOT_WORKER_ID", "", "unique name; unset: host and process id")
    address: str = setting("PANGLOT_WORKER_ADDRESS", "127.0.0.1:50061", "host:port to listen on")
    advertise: str = setting(
        "PANGLOT_WORKER_ADVERTISE", "", "host:port at which gateways reach it; unset: the address"
    )
    redis_url: str = setting("PANGLOT_REDIS_URL", "redis://127.0.0.1:6379/0", "the registry")
    base_model: str = setting("PANGLOT_BASE_MODEL", "embedded", "embedded, a directory or a hub id")
    models: str = setting("PANGLOT_MODELS", "", "directory of adapters; unset: those shipped")
    precision: str = setting("PANGLOT_PRECISION", "auto", "auto, float32 or bfloat16")
    threads: int = setting("PANGLOT_WORKER_THREADS", 0, "threads of the model; 0: all", low=0)
    slots: int = setting("PANGLOT_WORKER_SLOTS", 20, "adapters held at once", low=1, high=4096)
    max_spans: int = setting("PANGLOT_WORKER_MAX_SPANS", 64, "spans accepted at once", low=1)
    max_batch_rows: int = setting("PANGLOT_WORKER_BATCH_ROWS", 16, "rows of a batch", low=1)
    max_batch_s: float = setting(
        "PANGLOT_WORKER_BATCH_SECONDS", 60.0, "audio in a batch, padding counted", low=30
    )
    beam_size: int = setting(
        "PANGLOT_WORKER_BEAM", 5, "beams of the universal decoder for finals", low=1, high=16
    )
    partial_interval_s: float = setting(
        "PANGLOT_WORKER_PARTIAL_SECONDS", 0.3, "new audio between two partials", low=0.1
    )
    final_deadline_s: float = setting(
        "PANGLOT_WORKER_FINAL_SECONDS", 0.5, "time in which a final should be out", low=0.05
    )
    drain_s: float = setting("PANGLOT_DRAIN_SECONDS", 10.0, "time to finish on SIGTERM", low=0)
