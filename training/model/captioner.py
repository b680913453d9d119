"""The captioner: the one definition of inference, from uint8 pictures to token ids.

Evaluation, export, the handler and the command line all run this module, eager or compiled.
"""

from typing import Final, NamedTuple, Self

import torch
from torch import Tensor, nn

from handler.text import EOS, PAD, SOS, UNK
from training.model.confidence import Calibration
from training.model.decoders import Decoder
from training.model.encoders import Encoder
from training.model.rules import Rules
from training.model.tagger import Tagger, Tags

CANDIDATES = 32  # the likeliest next words of a sentence, of which a search takes its beams


class Hypotheses(NamedTuple):
    """The beams of a search: K sentences for each picture, best first."""

    tokens: Tensor  # [B, K, T] int64, filled with <PAD>
    log_probs: Tensor  # [B, K, T] float32, natural, of each token
    attention: Tensor  # [B, K, T, G] float32, or [B, K, 0, G]
    total: Tensor  # [B, K] float32, the sum of log_probs, less what doubts cost
    length: Tensor  # [B, K] float32, in tokens, <EOS> included
    finished: Tensor  # [B, K] bool
    last: Tensor  # [B, K] int64, the last word,
    before: Tensor  # and the one before it
    earned: Tensor  # [B, K] float32, by naming what the picture shows
    state: list[Tensor]  # the decoder's, [B, K, ...] each


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
        tags: int = 0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.length_penalty = length_penalty
        self.image_size = encoder.image_size
        self.grid_rows = encoder.grid_rows
        self.grid_columns = encoder.grid_columns
        self.vocab_size = decoder.vocab_size
        self.candidates = min(CANDIDATES, self.vocab_size)
        self.tagger = Tagger(self.vocab_size, encoder.channels, tags)
        self.calibration = Calibration(self.vocab_size, encoder.channels)
        self.rules = Rules(self.vocab_size, encoder.channels)
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
        self,
        images: Tensor,
        beam_size: int,
        max_length: int,
        with_attention: bool,
        num_captions: int = 0,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Caption uint8 RGB pictures ``[B, 3, S, S]``.

        Args:
            beam_size: hypotheses kept at every step, 1 to 8.
            max_length: most words of a sentence, 1 to 50; ``<EOS>`` is not counted.
            with_attention: also return where each word looked.
            num_captions: sentences wanted, 1 to ``beam_size``; 0: all. The search ends as soon as
                nothing can change these.

        Returns:
            tokens ``[B, N, T]`` of the ``N`` sentences wanted with ``T = max_length + 1``, best
            first, closed by ``<EOS>`` and filled with ``<PAD>``; their natural log-probabilities
            ``[B, N, T]``; attention ``[B, N, T, G]``, or ``[B, N, 0, G]`` when it was not asked
            for; the confidence of each sentence ``[B, N]`` (see ``Calibration``); the pictures'
            tags, and how probable they are (see ``Tags``).
        """
        features = self.encoder(images)
        tags = self.see(features)
        tokens, log_probs, attention = self.generate(
            features, tags, beam_size, max_length, with_attention, num_captions
        )
        confidence = self.calibration(features, tags, self.tagger.means, tokens, log_probs)
        return tokens, log_probs, attention, confidence, tags.words, tags.probabilities

    @torch.jit.export
    def see(self, features: Tensor) -> Tags:
        """The tags of pictures, by the encoder's features ``[B, G, D]``."""
        tags: Tags = self.tagger(features, self.rules.unlike(features))
        return tags

    @torch.jit.export
    def generate(
        self,
        features: Tensor,
        tags: Tags,
        beam_size: int,
        max_length: int,
        with_attention: bool,
        num_captions: int = 0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Beam search over encoder features ``[B, G, D]``, without confidence; see ``forward``.

        A finished hypothesis keeps its place among the beams while its normalised score is good
        enough. The last step admits ``<EOS>`` alone, so every sentence is closed at its price.
        ``Rules`` says which words may not follow, and what naming a sure tag is worth.
        """
        device = features.device
        # Only the first of the K equal empty sentences may grow at the first step.
        scores = torch.full((beam_size,), float("-inf"), device=device)
        scores[0] = 0.0
        steps = torch.arange(max_length + 1, device=device)
        looks = steps if with_attention else steps[:0]
        memory, beams = self.begin(features, tags, scores, steps, looks)
        wanted = num_captions if num_captions > 0 else beam_size
        ranks = torch.arange(beam_size, device=device)
        for t in range(max_length + 1):
            beams, settled = self.advance(steps[t], memory, beams, ranks < wanted)
            if bool(settled):
                break
        return (
            self.rules.agree(beams.tokens[:, :wanted]),
            beams.log_probs[:, :wanted],
            beams.attention[:, :wanted],
        )

    @torch.jit.export
    def begin(
        self, features: Tensor, tags: Tags, scores: Tensor, steps: Tensor, looks: Tensor
    ) -> tuple[list[Tensor], Hypotheses]:
        """What stays the same for a picture, and its empty sentences.

        Sizes come as tensors of these sizes, so that they can vary in an exported graph too.

        Args:
            features: ``[B, G, D]``; tags: of the same pictures; scores: ``[K]``, at the start.
            steps: ``[T]``; looks: ``[T]`` where attention is wanted, ``[0]`` where it is not.
        """
        B, G, K = features.shape[0], features.shape[1], scores.shape[0]
        memory, state = self.decoder.start(features, tags, K)
        means = self.tagger.means
        memory += [self.rules.wishes(tags, means), self.rules.vouched(tags, means), tags.elsewhere]
        total = scores.unsqueeze(0).expand(B, -1)  # (B, K)
        nothing = torch.zeros_like(total)
        tokens = nothing.long().unsqueeze(-1).expand(-1, -1, steps.shape[0]) + self.pad
        return memory, Hypotheses(
            tokens=tokens,
            log_probs=torch.zeros_like(tokens, dtype=torch.float32),
            attention=nothing.view(B, K, 1, 1).expand(-1, -1, looks.shape[0], G),
            total=total,
            length=nothing,
            finished=nothing > 0,
            last=nothing.long() + self.sos,
            before=nothing.long() + self.sos,
            earned=nothing,
            state=state,
        )

    @torch.jit.export
    def advance(
        self, t: Tensor, memory: list[Tensor], beams: Hypotheses, wanted: Tensor
    ) -> tuple[Hypotheses, Tensor]:
        """One step of the search: every sentence grows by its word ``t`` (a scalar).

        Returns:
            the hypotheses, best first, and whether those ``wanted`` (bool ``[K]``, the first
            ones) are settled for all pictures (a scalar): finished, and out of others' reach.
        """
        B, K, T = beams.tokens.shape
        finished = beams.finished
        logits, state, attention = self.decoder.step(beams.last, memory[:-3], beams.state)
        wishes, vouched, elsewhere = memory[-3], memory[-2], memory[-1]
        likely = self.rules.unsaid(
            self.log_probs(logits, t, T), beams.tokens, beams.before, beams.last, t
        )  # (B, K, V)
        length = beams.length + (~finished).to(torch.float32)
        divisor = length.pow(self.length_penalty)
        eager = self.rules.eagerness(beams.tokens, beams.last, beams.earned)  # (B, K)
        hopes = wishes.unsqueeze(1) * (eager * divisor).unsqueeze(-1)
        # Only the first of these can win. What else counts is looked up for them alone.
        words = (likely + hopes).topk(self.candidates, dim=2)[1]  # (B, K, C)
        wish = wishes.gather(1, words.flatten(1)).view(words.shape)
        step_probs = self.rules.fitting(
            likely.gather(2, words), words, wish, wishes, beams.earned, beams.before, beams.last
        )
        # A finished sentence continues in one way: with padding, at no cost.
        is_first = torch.arange(self.candidates, device=t.device) == 0
        closed = torch.where(is_first, 0.0, float("-inf"))
        words = words.masked_fill(finished.unsqueeze(-1), self.pad)
        step_probs = torch.where(finished.unsqueeze(-1), closed, step_probs)
        doubts = self.rules.doubts(step_probs, words, vouched, elsewhere)
        total = beams.total.unsqueeze(-1) + step_probs + doubts
        earned = beams.earned.unsqueeze(-1) + wish * eager.unsqueeze(-1)
        scores = total / divisor.unsqueeze(-1) + earned
        best, choice = scores.view(B, -1).topk(K, dim=1)  # (B, K)
        parent = torch.div(choice, self.candidates, rounding_mode="floor")
        last = words.view(B, -1).gather(1, choice)
        chosen = step_probs.view(B, -1).gather(1, choice)

        rows = (parent + K * torch.arange(B, device=t.device).unsqueeze(1)).flatten()  # (B*K,)
        finished = finished.gather(1, parent)
        attention = _reorder(attention.float(), rows).masked_fill(finished.unsqueeze(-1), 0.0)
        total = total.view(B, -1).gather(1, choice)
        finished = finished | (last == self.eos)
        now = torch.arange(T, device=t.device) == t  # (T,)
        grown = Hypotheses(
            tokens=torch.where(now, last.unsqueeze(-1), _reorder(beams.tokens, rows)),
            log_probs=torch.where(now, chosen.unsqueeze(-1), _reorder(beams.log_probs, rows)),
            attention=torch.where(
                now[: beams.attention.shape[2]].unsqueeze(-1),
                attention.unsqueeze(2),
                _reorder(beams.attention, rows),
            ),
            total=total,
            length=length.gather(1, parent),
            finished=finished,
            last=last,
            before=beams.last.gather(1, parent),
            earned=earned.view(B, -1).gather(1, choice),
            state=[_reorder(s, rows) for s in state],
        )
        # An open sentence's total can only fall; the longest sentence divides it by most. What it
        # might still earn is not waited for.
        # Its length is a tensor: as a number, an exported graph would keep that of its example.
        longest = torch.ones_like(now, dtype=torch.float32).sum()
        reach = torch.where(finished, float("-inf"), total / longest.pow(self.length_penalty))
        reach = reach + grown.earned
        worst = torch.where(wanted, best, float("inf")).amin(1)
        settled = (finished | ~wanted).all() & (reach.amax(1) <= worst).all()
        return grown, settled

    def log_probs(self, logits: Tensor, t: Tensor, T: int) -> Tensor:
        """Log-probabilities of the words that may come at step ``t`` of ``T``, ``[B, K, V]``."""
        may_follow = torch.where(t == 0, self.forbidden_first, self.forbidden).float()
        # The true price of stopping at the last step: normalised over all that could follow.
        may_stay = torch.where(t == T - 1, self.forbidden_last, 0.0).float()
        return (logits.float() + may_follow).log_softmax(-1) + may_stay


def _reorder(x: Tensor, rows: Tensor) -> Tensor:
    """``x`` ``[B, K, ...]`` with its ``rows`` ``[B*K]``, counted over all pictures, in order."""
    return x.flatten(0, 1).index_select(0, rows).view(x.shape)


def _mask(size: int, indices: list[int]) -> Tensor:
    """``[size]``: minus infinity at ``indices``, 0 elsewhere."""
    mask = torch.zeros(size)
    mask[indices] = float("-inf")
    return mask
