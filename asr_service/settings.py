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
    models: str = setting(
        "PANGLOT_MODELS", "", "directory or URL of adapters; unset: those shipped"
    )
    device: str = setting("PANGLOT_DEVICE", "auto", "auto, cpu, cuda or cuda:<number>")
    precision: str = setting("PANGLOT_PRECISION", "auto", "auto, float32 or bfloat16")
    threads: int = setting("PANGLOT_WORKER_THREADS", 0, "threads of the model; 0: all", low=0)
    slots: int = setting("PANGLOT_WORKER_SLOTS", 20, "adapters held at once", low=1, high=4096)
    max_rank: int = setting(
        "PANGLOT_WORKER_MAX_RANK", 64, "widest adapter that a slot takes", low=1, high=4096
    )
    # Every slot has room for so many, whatever its language needs.
    max_vocabulary: int = setting(
        "PANGLOT_WORKER_MAX_VOCABULARY",
        128,
        "symbols that a slot's head takes; 5000, for Chinese, take 0.5 GB in 20 slots of MMS-1B",
        low=2,
        high=65536,
    )
    host_mib: int = setting(
        "PANGLOT_WORKER_HOST_MIB", 2048, "host memory for adapters that may come back", low=0
    )
    max_spans: int = setting("PANGLOT_WORKER_MAX_SPANS", 64, "spans accepted at once", low=1)
    max_batch_rows: int = setting("PANGLOT_WORKER_BATCH_ROWS", 16, "rows of a batch", low=1)
    # Measured on one core: Whisper base encodes 120 s of audio a second in batches of 5 to 20 s,
    # and 97 in batches of 80 s, which no longer fit its caches.
    max_batch_s: float = setting(
        "PANGLOT_WORKER_BATCH_SECONDS",
        20.0,
        "audio in a batch, padding counted; far more on a GPU",
        low=1,
    )
    max_waiting_s: float = setting(
        "PANGLOT_WORKER_QUEUE_SECONDS", 1800.0, "audio that may wait to be decoded", low=60
    )
    lane: int = setting(
        "PANGLOT_WORKER_LANE", 8, "utterances in the universal decoder at once", low=1, high=256
    )
    beam_size: int = setting(
        "PANGLOT_WORKER_BEAM", 5, "beams of the universal decoder for finals", low=1, high=16
    )
    partial_interval_s: float = setting(
        "PANGLOT_WORKER_PARTIAL_SECONDS", 0.3, "new audio between two partials", low=0.1
    )
    partial_share: float = setting(
        "PANGLOT_WORKER_PARTIAL_SHARE",
        0.25,
        "of the model's time, for partials alone; low where other processes want the cores",
        low=0.01,
        high=1,
    )
    final_deadline_s: float = setting(
        "PANGLOT_WORKER_FINAL_SECONDS", 0.5, "time in which a final should be out", low=0.05
    )
    drain_s: float = setting("PANGLOT_DRAIN_SECONDS", 10.0, "time to finish on SIGTERM", low=0)
