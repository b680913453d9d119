"""The captioner: the one definition of inference, from uint8 pictures to token ids.

Evaluation, export, the handler and the command line all run this module, eager or compiled.
"""

from typing import Final, Self

import torch
from torch import Tensor, nn

from handler.text import EOS, PAD, SOS, UNK
from training.calibration import Calibration
from training.decoders import Decoder
from training.encoders import Encoder


class Captioner(nn.Module):
    """An encoder, a decoder, batched beam search and the confidence of what it found.

    Args:
        length_penalty: hypotheses are ranked by the sum of their log-probabilities divided by
            ``length ** length_penalty`` (Wu et al., 2016, without its constant); 0 ranks by the
            plain sum.
    """

    # TorchScript sees a module's constants, not its file's.
    pad: Final[int] = PAD
    sos: Final[int] = SOS
    eos: Final[int] = EOS
    forbidden: Tensor
    forbidden_first: Tensor
    forbidden_last: Tensor

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        *,
        length_penalty: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.length_penalty = length_penalty
        self.image_size = encoder.image_size
        self.grid_rows = encoder.grid_rows
        self.grid_columns = encoder.grid_columns
        self.vocab_size = decoder.vocab_size
        self.calibration = Calibration(self.vocab_size, encoder.channels)
        self.register_buffer("forbidden", _mask(self.vocab_size, [PAD, SOS, UNK]))
        self.register_buffer("forbidden_first", _mask(self.vocab_size, [PAD, SOS, UNK, EOS]))
        everything_but_eos = [i for i in range(self.vocab_size) if i != EOS]
        self.register_buffer("forbidden_last", _mask(self.vocab_size, everything_but_eos))

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the encoder stays in eval mode, so its BatchNorm statistics never move."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(
        self, images: Tensor, beam_size: int, max_length: int, with_attention: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Caption uint8 RGB pictures ``[B, 3, S, S]``.

        Args:
            beam_size: hypotheses kept and returned, 1 to 8.
            max_length: most words of a sentence, 1 to 50; ``<EOS>`` is not counted.
            with_attention: also return where each word looked.

        Returns:
            tokens ``[B, K, T]`` with ``T = max_length + 1``, best first, closed by ``<EOS>``
            and filled with ``<PAD>``; their natural log-probabilities ``[B, K, T]``; attention
            ``[B, K, T, G]``, or ``[B, K, 0, G]`` when it was not asked for; the confidence of each
            sentence ``[B, K]`` (see ``Calibration``).
        """
        features = self.encoder(images)
        tokens, log_probs, attention = self.generate(
            features, beam_size, max_length, with_attention
        )
        return tokens, log_probs, attention, self.calibration(features, tokens, log_probs)

    @torch.jit.export
    def generate(
        self, features: Tensor, beam_size: int, max_length: int, with_attention: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Beam search over encoder features ``[B, G, D]``, without confidence; see ``forward``.

        A finished hypothesis keeps its place among the beams while its normalised score is good
        enough. The last step admits ``<EOS>`` alone, so every sentence is closed at its price. No
        sentence says a word twice in a row, or the same three words twice (Paulus et al., ICLR
        2018).
        """
        B, G, K, T = features.shape[0], features.shape[1], beam_size, max_length + 1
        device = features.device
        memory, state = self.decoder.start(features, K)
        tokens = torch.full((B, K, T), self.pad, dtype=torch.long, device=device)
        log_probs = torch.zeros((B, K, T), device=device)
        attention = torch.zeros((B, K, T if with_attention else 0, G), device=device)
        last = torch.full((B, K), self.sos, dtype=torch.long, device=device)
        # Only the first of the K equal empty sentences may grow at the first step.
        total = torch.full((B, K), float("-inf"), device=device)
        total[:, 0] = 0.0
        length = torch.zeros((B, K), device=device)
        finished = torch.zeros((B, K), dtype=torch.bool, device=device)

        for t in range(T):
            logits, state, looked = self.decoder.step(last, memory, state)
            step_probs = _without_repeats(self.log_probs(logits, t, T), tokens, t)  # (B, K, V)
            # A finished sentence continues in one way: with padding, at no cost.
            step_probs = step_probs.masked_fill(finished.unsqueeze(-1), float("-inf"))
            step_probs[:, :, self.pad] = step_probs[:, :, self.pad].masked_fill(finished, 0.0)
            length = length + (~finished).to(length.dtype)
            scores = (total.unsqueeze(-1) + step_probs) / length.unsqueeze(-1).pow(
                self.length_penalty
            )
            choice = scores.flatten(1).topk(K, dim=1)[1]  # (B, K)
            parent = torch.div(choice, self.vocab_size, rounding_mode="floor")
            last = choice % self.vocab_size
            chosen = step_probs.flatten(1).gather(1, choice)

            total = total.gather(1, parent) + chosen
            length = length.gather(1, parent)
            finished = finished.gather(1, parent)
            state = [_reorder(s, parent) for s in state]
            tokens = _reorder(tokens, parent)
            log_probs = _reorder(log_probs, parent)
            tokens[:, :, t] = last
            log_probs[:, :, t] = chosen
            if with_attention:
                attention = _reorder(attention.flatten(2), parent).view(B, K, T, G)
                looked = _reorder(looked.to(attention.dtype), parent)
                attention[:, :, t] = looked.masked_fill(finished.unsqueeze(-1), 0.0)
            finished = finished | (last == self.eos)
            if bool(finished.all()):
                break
        return tokens, log_probs, attention

    def log_probs(self, logits: Tensor, t: int, T: int) -> Tensor:
        """Log-probabilities of the words that may come at step ``t`` of ``T``, ``[B, K, V]``."""
        logits = logits.float()
        if t == T - 1:
            # The true price of stopping here, so it is normalised over all that could follow.
            return (logits + self.forbidden.float()).log_softmax(-1) + self.forbidden_last.float()
        if t == 0:
            return (logits + self.forbidden_first.float()).log_softmax(-1)
        return (logits + self.forbidden.float()).log_softmax(-1)


def _reorder(x: Tensor, parent: Tensor) -> Tensor:
    """Rows of ``x`` ``[B, K, N]`` in the order of ``parent`` ``[B, K]``."""
    return x.gather(1, parent.unsqueeze(-1).expand(-1, -1, x.shape[2]))


def _without_repeats(log_probs: Tensor, tokens: Tensor, t: int) -> Tensor:
    """``log_probs`` ``[B, K, V]`` of step ``t`` without the words that would repeat a word at once
    or three words of the sentence so far, ``tokens`` ``[B, K, T]``."""
    if t > 0:
        last = tokens[:, :, t - 1 : t]  # (B, K, 1)
        log_probs = log_probs.scatter(2, last, float("-inf"))
        if t > 2:
            again = tokens[:, :, : t - 2] == tokens[:, :, t - 2 : t - 1]
            again = again & (tokens[:, :, 1 : t - 1] == last)  # (B, K, t - 2)
            banned = torch.zeros_like(again, dtype=log_probs.dtype).masked_fill(
                again, float("-inf")
            )
            log_probs = log_probs.scatter_add(2, tokens[:, :, 2:t], banned)
    return log_probs


def _mask(size: int, indices: list[int]) -> Tensor:
    """``[size]``: minus infinity at ``indices``, 0 elsewhere."""
    mask = torch.zeros(size)
    mask[indices] = float("-inf")
    return mask
