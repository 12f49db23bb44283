"""What the language identification service can be told."""

from __future__ import annotations

from dataclasses import dataclass

from common.settings import setting


@dataclass(frozen=True)
class LidSettings:
    """Read from the environment by `common.settings.load_settings`."""

    address: str = setting("PANGLOT_LID_ADDRESS", "127.0.0.1:50071", "host:port to listen on")
    metrics_address: str = setting(
        "PANGLOT_LID_METRICS_ADDRESS", "", "host:port of metrics for Prometheus; unset: none"
    )
    # Of its own: workers may run a base that identifies no languages.
    model: str = setting(
        "PANGLOT_LID_MODEL", "embedded", "Whisper or MMS-LID: embedded, a directory or a hub id"
    )
    # What a model's probabilities are worth differs from one to the next, and Whisper and MMS-LID
    # were never calibrated. It is fitted on speech of one's own; no language changes its rank.
    temperature: float = setting(
        "PANGLOT_LID_TEMPERATURE",
        1.0,
        "divides the logits of models without calibration; above 1 where they are too sure",
        low=0.05,
        high=20,
    )
    device: str = setting("PANGLOT_DEVICE", "auto", "auto, cpu, cuda or cuda:<number>")
    precision: str = setting("PANGLOT_PRECISION", "auto", "auto, float32 or bfloat16")
    threads: int = setting("PANGLOT_LID_THREADS", 0, "threads of the model; 0: all", low=0)
    max_batch_rows: int = setting("PANGLOT_LID_BATCH_ROWS", 16, "windows of a batch", low=1)
    max_waiting: int = setting("PANGLOT_LID_WAITING", 256, "windows that may wait", low=1)
    max_streams: int = setting("PANGLOT_LID_MAX_STREAMS", 64, "streams open at once", low=1)
    idle_s: float = setting(
        "PANGLOT_LID_IDLE_SECONDS", 30.0, "time a stream may send nothing", low=0.1
    )
    drain_s: float = setting("PANGLOT_DRAIN_SECONDS", 10.0, "time to finish on SIGTERM", low=0)
