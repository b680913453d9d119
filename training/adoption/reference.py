"""What ``transformers`` answers, with which an adopted captioner must agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from training.adoption.families.table import family_of
from training.adoption.published import Processing, explained, library, read_config


class Answer(NamedTuple):
    """The sentences that the reference found, best first."""

    tokens: Tensor  # [B, K, T] int64, without the first one
    log_probs: Tensor  # [B, K, T] float32, of each token
    scores: Tensor  # [B, K] float32, by which they are ranked; of one beam, [B, 0]


class Reference:
    """A published model as ``transformers`` runs it on the CPU.

    Its weights are rounded as ours are, to the half precision in which an archive stores them.

    Args:
        attention: which of the library's ways to compute it.
    """

    def __init__(
        self,
        folder: Path,
        processing: Processing,
        dtype: torch.dtype = torch.float32,
        attention: str = "eager",
    ) -> None:
        self.config = read_config(folder)
        self._family, self._levels = family_of(self.config), processing.levels
        with explained("model"):
            kind = getattr(library(), self._family.reference)
            model = kind.from_pretrained(folder, dtype=dtype, attn_implementation=attention)
            self.model: Any = model.eval()
        for parameter in self.model.parameters():
            parameter.data = parameter.data.half().to(dtype)

    @property
    def _decoder(self) -> Any:
        """The part that generates."""
        return getattr(self.model, "text_decoder", self.model)

    @property
    def length_penalty(self) -> float:
        """The one that the model's own configuration asks for."""
        stated = self._decoder.generation_config.length_penalty
        return 1.0 if stated is None else float(stated)

    def pixels(self, images: Tensor) -> Tensor:
        """uint8 ``[B, 3, S, S]`` as the model's own processor would normalise them."""
        mean, std = (
            torch.tensor(x).view(1, 3, 1, 1) for x in (self._levels.mean, self._levels.std)
        )
        return ((images.float() - mean) / std).to(self.model.dtype)

    @torch.inference_mode()
    def search(
        self, images: Tensor, beams: int, pieces: int, length_penalty: float, **more: Any
    ) -> Any:
        """Caption uint8 pictures with so many beams and at most so many tokens."""
        prompt = {}
        if self._family.prompted:
            start = self.config["bos_token_id"]
            prompt = {"input_ids": torch.full((len(images), 1), start)}
        return self.model.generate(
            pixel_values=self.pixels(images),
            **prompt,
            num_beams=beams,
            num_return_sequences=beams,
            max_new_tokens=pieces,
            length_penalty=length_penalty,
            early_stopping=False,
            do_sample=False,
            **more,
        )

    @torch.inference_mode()
    def generate(self, images: Tensor, beams: int, pieces: int, length_penalty: float) -> Answer:
        """Caption uint8 pictures, and say with which probabilities; see ``search``."""
        found = self.search(
            images, beams, pieces, length_penalty, return_dict_in_generate=True, output_scores=True
        )
        order = getattr(found, "beam_indices", None)
        log_probs = self._decoder.compute_transition_scores(
            found.sequences, found.scores, order, normalize_logits=beams == 1
        )
        shape = (len(images), beams, -1)
        scores = found.sequences_scores.view(len(images), beams) if beams > 1 else torch.zeros(0)
        return Answer(found.sequences[:, 1:].view(shape), log_probs.view(shape), scores)
