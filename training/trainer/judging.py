"""Judging a captioner on the dev split while it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean
from typing import Any, cast

import torch
from torch.utils.data import DataLoader

from handler.text import PAD
from training.common import parallel
from training.common.progress import progress
from training.data.batches import CaptionDataset
from training.metrics.coco import QUICK, CocoScorer
from training.model.captioner import Captioner
from training.trainer.config import TrainConfig
from training.trainer.epochs import cross_entropy, features_of
from training.trainer.optimisation import check_finite

EXAMPLES = 4  # pictures captioned for TensorBoard


def _dataset(loader: DataLoader[Any]) -> CaptionDataset:
    return cast(CaptionDataset, loader.dataset)


def _scorer(loader: DataLoader[Any]) -> CocoScorer:
    return CocoScorer({e.name: e.captions for e in _dataset(loader).examples})


class Judge:
    """Scores captioners on the dev split that ``loader`` holds, and on ``others`` by their names.

    Where there are others, ``cider``, by which weights are chosen, is the mean over all sets.
    """

    def __init__(
        self,
        loader: DataLoader[Any],
        config: TrainConfig,
        device: torch.device,
        others: Mapping[str, DataLoader[Any]] | None = None,
    ) -> None:
        self._loader = loader
        self._dataset = _dataset(loader)
        self._others = others or {}
        self._search = config.beam_size, config.max_length, False
        self._device = device
        self._scorers = [_scorer(each) for each in (loader, *self._others.values())]

    def __call__(self, captioner: Captioner) -> dict[str, float]:
        """The loss and the quick scores, by name; the main process finds them for all."""
        return parallel.broadcast(self._scores(captioner) if parallel.is_main() else {})

    def _scores(self, captioner: Captioner) -> dict[str, float]:
        scorer, *others = self._scorers
        loss, captions = self.caption(captioner.eval())
        scores = {"loss_dev": loss, **scorer(captions, QUICK)}
        found = [scores["cider"]]
        for (name, loader), scorer in zip(self._others.items(), others, strict=True):
            _, captions = self.caption(captioner, loader)
            found.append(scorer(captions, QUICK)["cider"])
            scores[f"cider_{name}"] = found[-1]
        return {**scores, "cider_dev": found[0], "cider": mean(found)} if others else scores

    @torch.inference_mode()
    def caption(
        self, captioner: Captioner, loader: DataLoader[Any] | None = None
    ) -> tuple[float, dict[str, str]]:
        """The plain cross-entropy per word, and the best caption of every picture by its name; of
        the dev split, unless another ``loader`` is given."""
        loader = loader or self._loader
        dataset, total, words, captions = _dataset(loader), 0.0, 0, {}
        for batch in progress(loader, "judge", len(loader)):
            batch = batch.to(self._device)
            features = features_of(captioner, batch.images)
            tags = captioner.see(features)
            loss = cross_entropy(captioner.decoder, features, tags, batch.captions, reduction="sum")
            total += float(loss)
            words += int((batch.captions != PAD).sum())
            check_finite("loss of the dev split", total)
            tokens, _, _ = captioner.generate(features, tags, *self._search)
            for index, ids in zip(batch.indices.tolist(), tokens[:, 0].tolist(), strict=True):
                captions[dataset.examples[index].name] = dataset.vocabulary.decode(ids)
        return total / words, captions

    @torch.inference_mode()
    def examples(self, captioner: Captioner) -> str:
        """Greedy captions of the first pictures, each beside a reference, as Markdown."""
        shown, decode = self._dataset.examples[:EXAMPLES], self._dataset.vocabulary.decode
        pictures = torch.stack([self._dataset[i][0] for i in range(len(shown))]).to(self._device)
        was_training = captioner.training
        captioner.eval()
        features = features_of(captioner, pictures)
        tokens, _, _ = captioner.generate(features, captioner.see(features), 1, 20, False)
        captioner.train(was_training)
        return "\n".join(
            f"- {example.name}: **{decode(ids)}** ({example.captions[0]})"
            for example, ids in zip(shown, tokens[:, 0].tolist(), strict=True)
        )
