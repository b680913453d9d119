"""An adopted captioner as one ONNX graph without weights, put together as our own is."""

import torch
from torch import Tensor

from training.adoption.model.search import AdoptedCaptioner, Sentences
from training.packaging.onnx_graph import Graph, Part, apart, compose, export_part

WORDS = 5  # in the cache of the example: one or none would be taken for a constant


class _Begin(Part):
    def forward(
        self, images: Tensor, scores: Tensor, steps: Tensor, looks: Tensor
    ) -> tuple[list[Tensor], Sentences]:
        return self.captioner.begin(images, scores, steps, looks)


class _Advance(Part):
    def forward(
        self, t: Tensor, so_far: Sentences, memory: list[Tensor], most: Tensor
    ) -> tuple[Tensor, Sentences]:
        grown, settled = self.captioner.advance(t, memory, so_far, most)
        return ~settled, grown


class _Finish(Part):
    def forward(self, tokens: Tensor, log_probs: Tensor) -> tuple[Tensor, Tensor]:
        return tokens + 0, self.captioner.calibration(tokens, log_probs)


@torch.no_grad()
def build_graph(captioner: AdoptedCaptioner) -> Graph:
    """Export a captioner on the CPU, in eval mode and float32."""
    size = captioner.image_size
    # The sizes of the example differ from each other, so that none is taken for another.
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    scores, steps, looks = torch.zeros(3), torch.arange(9), torch.arange(7)
    most = torch.tensor(WORDS)
    begin, advance = _Begin(captioner), _Advance(captioner)
    memory, found = begin(images, scores, steps, looks)
    first = export_part(begin, [(images, 1), (scores, 1), (steps, 1), (looks, 1)])
    for t in range(WORDS):
        _, found = advance(torch.tensor(t), found, memory, most)
    memory, found = apart((memory, found))
    step = export_part(advance, [(torch.tensor(WORDS), 0), (found, 4), (memory, 4), (most, 0)])
    last = export_part(_Finish(captioner), [(found.tokens, 3), (found.log_probs, 3)])
    return compose(first, step, last, memories=len(memory), kept=0, limit="most")
