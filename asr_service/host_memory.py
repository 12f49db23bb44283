"""The tier between store and slots: adapters in host memory, ready to be copied into a slot."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from torch import Tensor

from speech.adapters.card import AdapterCard
from speech.adapters.kinds import AdapterShape
from speech.adapters.slots import AdapterSlots
from speech.adapters.store import AdapterStore
from speech.ctc.lexicon import LexiconDecoder

_LEXICON_BYTES = 16 * 2**20
"""What the prefix tree and the model of 400,000 words take, measured."""


@dataclass(frozen=True)
class HostAdapter:
    """A verified adapter, packed for its slot.

    Attributes:
        card, shape: what it is.
        packed: as `AdapterSlots.write` takes it.
        lexicon: decoder for finals, being built; None where the adapter has none. It takes a
            second or two, which a speaker's first partials need not wait for.
    """

    card: AdapterCard
    shape: AdapterShape
    packed: Tensor = field(repr=False)
    lexicon: Future[LexiconDecoder] | None

    @property
    def n_bytes(self) -> int:
        """Host memory it takes."""
        return self.packed.nbytes + (_LEXICON_BYTES if self.lexicon else 0)


def read_adapter(
    store: AdapterStore, slots: AdapterSlots, builder: Executor, key: str
) -> HostAdapter:
    """Read `<id>@<version>` and pack it; the lexicon is left to `builder`. Blocks.

    Raises:
        AdapterNotFound, AdapterRefused, StoreUnavailable: see `AdapterStore.load`.
    """
    loaded = store.load(key)
    packed = slots.pack(loaded.shape, loaded.tensors)
    lexicon = builder.submit(loaded.lexicon) if loaded.lexicon else None
    return HostAdapter(loaded.card, loaded.shape, packed, lexicon)


class HostMemory:
    """Adapters by key, the least recently used forgotten first. Pure bookkeeping."""

    def __init__(self, max_bytes: int) -> None:
        """Keep up to `max_bytes` of them, and the latest one whatever its size."""
        self._max_bytes = max_bytes
        self._adapters: OrderedDict[str, HostAdapter] = OrderedDict()
        self._n_bytes = 0

    def get(self, key: str) -> HostAdapter | None:
        """The adapter, if it is here."""
        if key in self._adapters:
            self._adapters.move_to_end(key)
        return self._adapters.get(key)

    def put(self, key: str, adapter: HostAdapter) -> None:
        """Keep an adapter that was not here."""
        self._adapters[key] = adapter
        self._n_bytes += adapter.n_bytes
        while self._n_bytes > self._max_bytes and len(self._adapters) > 1:
            _, oldest = self._adapters.popitem(last=False)
            self._n_bytes -= oldest.n_bytes
