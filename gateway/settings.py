"""What the gateway can be told."""

from __future__ import annotations

from dataclasses import dataclass

from common.settings import setting

RELATIVES = "PANGLOT_GATEWAY_RELATIVES"


@dataclass(frozen=True)
class GatewaySettings:
    """Read from the environment by `common.settings.load_settings`."""

    address: str = setting("PANGLOT_GATEWAY_ADDRESS", "127.0.0.1:50051", "host:port to listen on")
    lid_address: str = setting(
        "PANGLOT_LID_ADDRESS", "127.0.0.1:50071", "host:port of language identification"
    )
    redis_url: str = setting("PANGLOT_REDIS_URL", "redis://127.0.0.1:6379/0", "the registry")
    models: str = setting(
        "PANGLOT_MODELS", "", "directory or URL of adapters; unset: those shipped"
    )
    catalogue_s: float = setting(
        "PANGLOT_GATEWAY_CATALOGUE_SECONDS",
        5.0,
        "time between two looks at what is published; each lists the store twice",
        low=0.1,
    )
    max_streams: int = setting("PANGLOT_GATEWAY_MAX_STREAMS", 256, "streams at once", low=1)
    idle_s: float = setting(
        "PANGLOT_GATEWAY_IDLE_SECONDS", 30.0, "time a stream may send nothing", low=0.1
    )
    end_silence_ms: int = setting(
        "PANGLOT_GATEWAY_END_SILENCE_MS", 448, "silence that ends a segment", low=100, high=5000
    )
    max_segment_ms: int = setting(
        "PANGLOT_GATEWAY_MAX_SEGMENT_MS", 15_000, "longest segment", low=2000, high=28_000
    )
    arbitration: int = setting(
        "PANGLOT_GATEWAY_ARBITRATION",
        0,
        "1: a span is heard in two languages while they are close; 0: never",
        low=0,
        high=1,
    )
    zero_shot: float = setting(
        "PANGLOT_GATEWAY_ZERO_SHOT",
        0.6,
        "least similarity, 0 to 1, of the relative by whose adapter a language is heard that "
        "nothing serves; 1: only what PANGLOT_GATEWAY_RELATIVES says",
        low=0,
        high=1,
    )
    relatives: str = setting(
        RELATIVES,
        "",
        'JSON file of relatives chosen for languages that nothing serves: {"wa": ["fr", "ca"]}',
    )
    drain_s: float = setting("PANGLOT_DRAIN_SECONDS", 10.0, "time to finish on SIGTERM", low=0)
