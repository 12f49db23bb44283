"""What the language identification service can be told."""

from __future__ import annotations

from dataclasses import dataclass

from common.settings import setting


@dataclass(frozen=True)
class LidSettings:
    """Read from the environment by `common.settings.load_settings`."""

    address: str = setting("PANGLOT_LID_ADDRESS", "127.0.0.1:50071", "host:port to listen on")
    # Of its own: workers may run a base that identifies no languages.
    base_model: str = setting(
        "PANGLOT_LID_BASE_MODEL", "embedded", "Whisper: embedded, a directory or a hub id"
    )
    device: str = setting("PANGLOT_DEVICE", "auto", "auto, cpu, cuda or cuda:<number>")
    precision: str = setting("PANGLOT_PRECISION", "auto", "auto, float32 or bfloat16")
    threads: int = setting("PANGLOT_LID_THREADS", 0, "threads of the model; 0: all", low=0)
    max_batch_rows: int = setting("PANGLOT_LID_BATCH_ROWS", 16, "windows of a batch", low=1)
    max_waiting: int = setting("PANGLOT_LID_WAITING", 256, "windows that may wait", low=1)
    drain_s: float = setting("PANGLOT_DRAIN_SECONDS", 10.0, "time to finish on SIGTERM", low=0)
