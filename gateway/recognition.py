"""A span under way: partials go where they are shown, a final to each place it may end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from panglot.v1 import asr_pb2

from common.catalogue import ServedLanguage
from gateway.span import Cut, Span
from gateway.workers import WorkerPool

Final = asyncio.Future[asr_pb2.Hypothesis]


class Recognition:
    """Owns the task that reads a span's answers. Close it when its final is there, or unwanted."""

    def __init__(
        self, span: Span, workers: WorkerPool, show: Callable[[asr_pb2.Hypothesis], None]
    ) -> None:
        """Begin at once; `show` gets every partial."""
        self._span = span
        self._show = show
        self._finals: dict[Cut, Final] = {}
        self._error: Exception | None = None
        self._task = asyncio.create_task(self._read(workers))

    @property
    def language(self) -> ServedLanguage:
        """What is hearing the span now."""
        return self._span.language

    def final(self, n_samples: int) -> Final:
        """The final of the span's first `n_samples`, asked for once however often this is called.

        It takes the place of one that was asked for before and is not there yet, as it does for the
        worker: that one is cancelled. The future fails as `Span.responses` does.
        """
        for cut, known in self._finals.items():
            if cut.n_samples == n_samples and not known.cancelled():
                return known
        self._forget_finals()
        final: Final = asyncio.get_running_loop().create_future()
        final.add_done_callback(_noticed)
        cut = Cut(len(self._finals) + 1, n_samples)
        self._finals[cut] = final
        if self._error is not None:
            final.set_exception(self._error)
        else:
            self._span.finalize(cut)
        return final

    def stop(self) -> None:
        """Nothing more is wanted: let the worker forget the span."""
        self._task.cancel()
        self._forget_finals()

    async def close(self) -> None:
        """Stop, and wait until it has."""
        self.stop()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self, workers: WorkerPool) -> None:
        try:
            async with aclosing(self._span.responses(workers)) as responses:
                async for response in responses:
                    if response.WhichOneof("response") == "partial":
                        self._show(response.partial)
                    else:
                        self._resolve(response.final)
        except Exception as error:  # whatever it is, nobody may wait for ever
            self._error = error
            for final in self._finals.values():
                if not final.done():
                    final.set_exception(error)

    def _forget_finals(self) -> None:
        for final in self._finals.values():
            final.cancel()  # not if it is there

    def _resolve(self, answer: asr_pb2.FinalHypothesis) -> None:
        for cut, final in self._finals.items():
            if cut.sequence == answer.sequence and not final.done():
                final.set_result(answer.hypothesis)


def _noticed(final: Final) -> None:
    # A pause that was none leaves its final unread; its failure will be met again at the next.
    if not final.cancelled():
        final.exception()
