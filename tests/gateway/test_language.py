"""The gateway's side of language identification, against the service itself."""

from __future__ import annotations

import numpy as np
import pytest

from common.audio import SAMPLE_RATE_HZ, Samples
from gateway.language import Identified, LanguageClient
from tests.lid_service.serving import FakeIdentifier, serving

SPEECH = (0.4, 0.2, 0.2, 0.0, 0.2)
WINDOW: Samples = np.zeros(SAMPLE_RATE_HZ, np.float32)


async def test_posteriors_and_background() -> None:
    model = FakeIdentifier(SPEECH)
    async with serving(model) as service:
        client = LanguageClient(service.address)
        found = await client.identify(WINDOW, None, urgent=False)
        among = await client.identify(WINDOW, ("zh", "jv"), urgent=True)
        # Shorter than the service takes: a word at the end of a stream.
        short = await client.identify(WINDOW[:10], None, urgent=True)
        await client.close()
    assert isinstance(found, Identified)
    assert found.posteriors == pytest.approx({"en": 0.5, "zh": 0.25, "de": 0.25, "jv": 0.0})
    assert found.background == pytest.approx(0.2)
    assert among is not None
    assert among.posteriors == pytest.approx({"zh": 1.0, "jv": 0.0})
    assert short is not None
    assert model.heard == [SAMPLE_RATE_HZ, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ // 10]


async def test_what_the_service_knows() -> None:
    async with serving(FakeIdentifier(SPEECH)) as service:
        client = LanguageClient(service.address)
        assert await client.model_languages() == FakeIdentifier.languages
        await client.close()


async def test_nobody_there() -> None:
    client = LanguageClient("127.0.0.1:1")
    assert await client.identify(WINDOW, None, urgent=True) is None
    assert await client.model_languages() is None
    await client.close()
