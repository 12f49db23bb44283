"""Several sources in one adapter, put together in a way that is learned with the target."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from speech.adapters.kinds import AdapterShape, block_name
from speech.adapters.module import Adapter
from speech.encoder import Site


class FusedAdapter(Adapter):
    """An adapter whose blocks are a mixture of the sources' blocks plus a difference of its own.

    `theta = mixture(sources; what is learned) + difference`, for the tensors theta of every block.
    So at every moment it is one plain adapter, which `plain` writes out, and costs as much as any
    other to serve. What the published fusions mix are the sources' outputs, by weights that differ
    from frame to frame (AdapterFusion, Pfeiffer et al., 2021): that keeps all sources at serving,
    and no one adapter equals it.

    The difference begins as none, in `blocks`; the head is as every head.
    """

    def __init__(self, shape: AdapterShape, mixtures: Mapping[tuple[int, Site], nn.Module]) -> None:
        """Take for each block a module that, called with nothing, gives its tensors by name."""
        super().__init__(shape)
        self.mixtures = nn.ModuleDict(
            {
                str(layer): nn.ModuleDict(
                    {site: mixtures[layer, site] for site in shape.kind.sites}
                )
                for layer in shape.layers
            }
        )
        for parameter in self.blocks.parameters():
            nn.init.zeros_(parameter)

    def forward(self, hidden: Tensor, layer: int, site: Site) -> Tensor:
        """As `Adapter.forward`."""
        if layer not in self.shape.layers or site not in self.shape.kind.sites:
            return hidden
        block = self.blocks[str(layer)][site]  # type: ignore[index]
        tensors = self._tensors(layer, site)
        return functional_call(block, tensors, (hidden,))  # type: ignore[no-any-return]

    def plain(self) -> dict[str, Tensor]:
        """The tensors of the plain adapter that this is now, under `Adapter`'s names."""
        with torch.no_grad():
            blocks = {
                f"{block_name(layer, site)}.{name}": tensor
                for layer in self.shape.layers
                for site in self.shape.kind.sites
                for name, tensor in self._tensors(layer, site).items()
            }
        head = {f"head.{name}": tensor for name, tensor in self.head.state_dict().items()}
        return blocks | head

    def _tensors(self, layer: int, site: Site) -> dict[str, Tensor]:
        block: nn.Module = self.blocks[str(layer)][site]  # type: ignore[index]
        mixture: nn.Module = self.mixtures[str(layer)][site]  # type: ignore[index]
        difference = dict(block.named_parameters())
        device = next(iter(difference.values())).device
        # Weights that were added up in bfloat16 would not be those that are written out.
        with torch.autocast(device.type, enabled=False):
            return {name: tensor + difference[name] for name, tensor in mixture().items()}
