"""The captioner that an adopted model becomes: its own search, behind our captioner's contract.

The search is that of ``transformers`` (5.24): open sentences and finished ones are kept apart, and
it ends where its heuristic says so. Ours would find other sentences than those that the models'
authors published scores of.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from handler.decode import SQUEEZED, Fit
from handler.engines import pieces_for
from training.adoption.model.confidence import PlainConfidence
from training.adoption.model.decoder import TransformerDecoder

PAD = -1  # no id of the model's own: GPT-2 pads with its end


class Sentences(NamedTuple):
    """The beams of a search: K finished sentences and K open ones of each picture."""

    tokens: Tensor  # [B, K, T] int64, of the finished ones, best first, filled with PAD
    log_probs: Tensor  # [B, K, T] float32, of each token; minus infinity where there is none yet
    attention: Tensor  # [B, K, T, G] float32, or [B, K, 0, G]
    score: Tensor  # [B, K] float32, by which they are ranked
    finished: Tensor  # [B, K] bool: there is one in this place
    open_tokens: Tensor  # the same of the open ones
    open_log_probs: Tensor
    open_attention: Tensor
    total: Tensor  # [B, K] float32, the sum of their log-probabilities
    last: Tensor  # [B, K] int64, their last token
    words: Tensor  # [B, K] int64, how many words they have begun
    hopeful: Tensor  # [B, 1] bool: an open one may still become better than a finished one
    mask: Tensor  # [B, K, n] float32: 0 where a word of the cache is theirs, else minus infinity
    cache: list[Tensor]  # the decoder's, of all beams together


@dataclass(frozen=True)
class Rules:
    """What a model's tokens mean, and how its pictures are prepared."""

    start: int
    end: int
    begins: Tensor  # bool [V]: which begin a word
    fit: Fit = SQUEEZED
    length_penalty: float = 1.0  # sentences are ranked by their sum / length ** this


class AdoptedCaptioner(nn.Module):
    """A vision model, a decoder, the search of ``transformers`` and a confidence."""

    # Constants are compiled in; attributes, such as `end`, can be read from the exported module.
    pad: Final[int]
    never: Final[float]
    begins: Tensor

    def __init__(self, encoder: Any, decoder: TransformerDecoder, rules: Rules) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.pad, self.start, self.end = PAD, rules.start, rules.end
        self.never = -1.0e9  # what transformers takes for minus infinity
        self.length_penalty = rules.length_penalty
        # What the handler reads, as it does of our own captioner.
        self.precision = "float32"  # on a CPU
        fit = rules.fit
        self.filter, self.scale, self.keeps_ratio = fit.filter, fit.scale, fit.keeps_ratio
        self.image_size: int = encoder.image_size
        self.grid_rows: int = encoder.grid_rows
        self.grid_columns: int = encoder.grid_columns
        self.vocab_size = decoder.vocab_size
        self.calibration = PlainConfidence(PAD)
        self.register_buffer("begins", rules.begins)

    def forward(
        self,
        images: Tensor,
        beam_size: int,
        max_length: int,
        with_attention: bool,
        num_captions: int = 0,
        pieces: int = 0,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Caption uint8 RGB pictures ``[B, 3, S, S]``; see ``training.model.captioner``.

        Args:
            max_length: most words of a sentence; each may be several tokens.
            pieces: most tokens, where that is not to follow from ``max_length``.
        """
        device = images.device
        scores = torch.full((beam_size,), float("-inf"), device=device)
        scores[0] = 0.0  # of the equal empty sentences only the first may grow
        steps = torch.arange(pieces if pieces > 0 else pieces_for(max_length), device=device)
        looks = steps if with_attention else steps[:0]
        memory, found = self.begin(images, scores, steps, looks)
        most = torch.tensor(max_length, device=device)
        for t in range(steps.shape[0]):
            found, settled = self.advance(steps[t], memory, found, most)
            if bool(settled):
                break
        wanted = num_captions if num_captions > 0 else beam_size
        tokens, log_probs = found.tokens[:, :wanted], found.log_probs[:, :wanted]
        confidence = self.calibration(tokens, log_probs)
        return tokens, log_probs, found.attention[:, :wanted], confidence

    @torch.jit.export
    def begin(
        self, images: Tensor, scores: Tensor, steps: Tensor, looks: Tensor
    ) -> tuple[list[Tensor], Sentences]:
        """What stays the same for a picture, and its empty sentences.

        Args:
            scores: ``[K]``, at the start; steps: ``[T]``; looks: ``[T]`` where attention is
                wanted, ``[0]`` where it is not.
        """
        memory, cache = self.decoder.start(self.encoder(images))
        B, K, T = images.shape[0], scores.shape[0], steps.shape[0]
        total = scores.unsqueeze(0).expand(B, -1).contiguous()  # (B, K)
        nothing = torch.zeros_like(total)
        tokens = nothing.long().unsqueeze(-1).expand(-1, -1, T) + self.pad
        log_probs = torch.zeros_like(tokens, dtype=torch.float32)
        cells = self.grid_rows * self.grid_columns
        attention = nothing.view(B, K, 1, 1).expand(-1, -1, looks.shape[0], cells) + 0.0
        return memory, Sentences(
            tokens=tokens,
            log_probs=log_probs + float("-inf"),
            attention=attention,
            score=nothing + self.never,
            finished=nothing > 0,
            open_tokens=tokens + 0,
            open_log_probs=log_probs,
            open_attention=attention + 0.0,
            total=total,
            last=nothing.long() + self.start,
            words=nothing.long(),
            hopeful=nothing[:, :1] == 0,
            mask=nothing.unsqueeze(-1)[:, :, :0],
            cache=cache,
        )

    @torch.jit.export
    def advance(
        self, t: Tensor, memory: list[Tensor], so_far: Sentences, most: Tensor
    ) -> tuple[Sentences, Tensor]:
        """One step of the search: every open sentence grows by its token ``t`` (a scalar).

        Args:
            most: words of a sentence (a scalar).

        Returns:
            the sentences, and whether none can become better (a scalar).
        """
        B, K, T = so_far.tokens.shape
        ranks = torch.arange(K, device=t.device)
        own = torch.where(ranks.unsqueeze(0) == ranks.unsqueeze(1), 0.0, float("-inf"))
        mask = torch.cat([so_far.mask, own.unsqueeze(0).expand(B, -1, -1)], 2)  # (B, K, n + K)
        logits, cache, looked = self.decoder.step(so_far.last, t, memory, so_far.cache, mask)
        log_probs = logits.float().log_softmax(-1)
        full = (so_far.words >= most).unsqueeze(-1) & self.begins  # no further word may begin
        log_probs = torch.where(full, float("-inf"), log_probs)
        best, choice = (so_far.total.unsqueeze(-1) + log_probs).view(B, -1).topk(2 * K, dim=1)
        parent = torch.div(choice, self.vocab_size, rounding_mode="floor")  # (B, 2K)
        token = choice % self.vocab_size
        chosen = log_probs.view(B, -1).gather(1, choice)
        is_last = t == T - 1
        ends = (token == self.end) | is_last
        now = torch.arange(T, device=t.device) == t  # (T,)
        look_now = now[: so_far.attention.shape[2]].unsqueeze(-1)
        base = K * torch.arange(B, device=t.device).unsqueeze(1)

        # The candidates, each an open sentence with a further token.
        rows = (parent + base).flatten()  # (B * 2K,)
        tokens = torch.where(now, token.unsqueeze(-1), _take(so_far.open_tokens, rows, B))
        token_probs = torch.where(now, chosen.unsqueeze(-1), _take(so_far.open_log_probs, rows, B))
        attention = torch.where(
            look_now, _take(looked, rows, B).unsqueeze(2), _take(so_far.open_attention, rows, B)
        )
        # Those that go on.
        total, keep = (best + torch.where(ends, self.never, 0.0)).topk(K, dim=1)
        last, up = token.gather(1, keep), parent.gather(1, keep)
        kept = (keep + 2 * base).flatten()
        # Of the first K, those that end compete with what has ended before.
        ended = ends[:, :K]
        length = (t + 1).to(torch.float32).pow(self.length_penalty)
        score = best[:, :K] / length + torch.where(so_far.hopeful & ended, 0.0, float("-inf"))
        score, order = torch.cat([so_far.score, score], 1).topk(K, dim=1)
        places = (order + 2 * base).flatten()
        finished = torch.cat([so_far.finished, ended], 1).gather(1, order)
        worst = torch.where(finished, score.amin(1, keepdim=True), self.never)
        hopeful = so_far.hopeful & (total[:, :1] / length > worst).any(-1, keepdim=True)
        # With a single beam, transformers stops at the first end.
        lone = torch.ones_like(total[0]).sum() < 2
        hopeful = hopeful & ~(finished[:, :1] & lone)
        grown = Sentences(
            tokens=_merge(so_far.tokens, tokens, places),
            log_probs=_merge(so_far.log_probs, token_probs, places),
            attention=_merge(so_far.attention, attention, places),
            score=score,
            finished=finished,
            open_tokens=_take(tokens, kept, B),
            open_log_probs=_take(token_probs, kept, B),
            open_attention=_take(attention, kept, B),
            total=total,
            last=last,
            words=so_far.words.gather(1, up) + self.begins[last].long(),
            hopeful=hopeful,
            mask=_take(mask, (up + base).flatten(), B),
            cache=cache,
        )
        return grown, ~hopeful.any() | is_last


def _take(x: Tensor, rows: Tensor, pictures: int) -> Tensor:
    """``rows``, counted over all ``pictures``, of ``x`` ``[B, K, ...]``."""
    return x.flatten(0, 1).index_select(0, rows).unflatten(0, [pictures, -1])


def _merge(before: Tensor, candidates: Tensor, places: Tensor) -> Tensor:
    """Of K finished sentences and the first K candidates, ``[B, K, ...]`` each, those at
    ``places``, counted over all pictures."""
    B, K = before.shape[0], before.shape[1]
    return _take(torch.cat([before, candidates[:, :K]], 1), places, B)
