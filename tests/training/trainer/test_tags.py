"""Training with tags: what a captioner is given, and what it learns from captions alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch

from handler.text import PAD, SOS
from tests.shipped import ARCHIVE
from tests.training.tiny import classifier, tiny_encoder
from tests.training.trainer.runs import (
    STEPS,
    Killed,
    Splits,
    equal,
    history,
    kill_at_step,
    weights,
)
from training.common.model_files import open_model
from training.data.simulation import Simulator
from training.data.texts import text_batches
from training.data.things import Thing, Things, read_things
from training.data.vocabulary import Vocabulary
from training.model.captioner import Captioner
from training.model.decoders import build_decoder
from training.model.tagger import Tags
from training.trainer import checkpoint, phases, preparing
from training.trainer.epochs import CrossEntropy
from training.trainer.phases import plan
from training.trainer.start import read_start
from training.trainer.trainer import Trainer

FEW = Things(
    Thing(word, plural, "a", kind, ())
    for word, plural, kind in [
        ("cat", "cats", "animal"),
        ("dog", "dogs", "animal"),
        ("bus", "buses", "vehicle"),
        ("taxi", "taxis", "vehicle"),
    ]
    * 250
)
TEXT = [f"a {word} is near the tree" for word in FEW.by_word]
MORE_STEPS = 5  # an epoch of the 24 pictures and the 12 beside them, in batches of 8
TOLD: dict[str, Any] = {"tags": 2, "text_batch": 16, "text_threshold": 1}


@pytest.fixture
def few() -> Iterator[None]:
    """A thousand classes of four things, so that a small captioner learns them soon."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (preparing, phases):
            patch.setattr(module, "read_things", lambda: FEW)
        yield


def test_the_tagger_knows_what_the_encoder_knew(make: Callable[..., Trainer]) -> None:
    trainer = make(tags=3)
    tagger, itos = trainer.captioner.tagger, trainer.folder._vocabulary.itos
    state = tagger.state_dict()
    assert torch.equal(state["classifier.weight"], classifier()[0])
    things = read_things()
    assert [itos[i] for i in state["plain"]] == [thing.word for thing in things.classes]
    means = {itos[i]: itos[plain] for i, plain in enumerate(state["means"]) if plain != PAD}
    assert means["cats"] == means["cat"] == "cat"
    assert "circle" not in means
    assert trainer.captioner.rules.again[itos.index("cat")].tolist() == [
        itos.index("cat"),
        itos.index("cats"),
    ]


def test_a_decoder_that_reads_no_tags_has_none(make: Callable[..., Trainer]) -> None:
    captioner = make(decoder="lstm", tags=3).captioner
    assert captioner.tagger.count == 0
    assert captioner.vocab_size < 20


def test_text_teaches_to_name_the_tag() -> None:
    torch.manual_seed(0)
    vocabulary = Vocabulary(1)
    vocabulary.extend(FEW.words)
    code, encoder = vocabulary.build(TEXT).stoi, tiny_encoder()
    sizes = {"embed_size": 24, "hidden_size": 24, "heads": 2, "dropout": 0.0}
    decoder = build_decoder(
        "attention", len(code), encoder.channels, tags=True, embed_dropout=0.0, **sizes
    )
    objective = CrossEntropy(Captioner(encoder, decoder, tags=2))
    optimizer = torch.optim.Adam(decoder.parameters(), 2e-2)

    @torch.no_grad()
    def named(word: str, *tags: str) -> float:
        """The probability that a sentence about ``tags`` goes on with ``word`` after "a"."""
        words = torch.tensor([[code[tag] for tag in tags]])
        told = Tags(words, torch.tensor([[0.9, 0.05]]), torch.ones(1))
        words = torch.tensor([[[SOS, code["a"]]]])
        hidden = decoder(torch.zeros(1, 1, encoder.channels), told, words)
        return float(decoder.logits(hidden).softmax(-1)[0, 0, 1, code[word]])

    assert named("dog", "dog", "bus") < 0.3
    captions = [vocabulary.encode(caption) for caption in TEXT * 4]
    batches = text_batches(
        captions, Simulator(vocabulary, FEW, torch.zeros(len(vocabulary)), 2), 16, encoder.channels
    )
    for batch in islice(batches, 60):
        optimizer.zero_grad()
        objective([(batch, torch.tensor(0.01))], 0.0).backward()
        optimizer.step()
    assert named("dog", "dog", "bus") > 0.7 > 0.1 > named("dog", "bus", "dog")
    assert named("taxi", "taxi", "dog") > 0.7 > 0.1 > named("taxi", "dog", "taxi")


@pytest.fixture
def more(splits: Splits) -> dict[str, Any]:
    """Captions without pictures, and pictures whose captions a model wrote."""
    return {"text": TEXT, "also": [[replace(e, captions=("a bus",)) for e in splits["dev"]]]}


@pytest.mark.usefixtures("few")
def test_a_run_with_text_and_more_pictures_resumes_to_the_same_end(
    make: Callable[..., Trainer], more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    phases = {"epochs": 2, "finetune_epochs": 1, "scst_epochs": 1, "finetune_stages": 1}
    whole = make("whole", **TOLD, **phases, more=more)
    whole.fit()
    kill_at_step(monkeypatch, 2 * MORE_STEPS + 2)  # while the encoder is fine-tuned
    with pytest.raises(Killed):
        make("killed", **TOLD, **phases, more=more).fit()
    monkeypatch.undo()
    make("killed", **TOLD, **phases, more=more).fit(resume=True)
    first, second = (whole.folder.path.parent / name for name in ("whole", "killed"))
    assert history(first) == history(second)
    assert equal(weights(first / "last.pt"), weights(second / "last.pt"))


@pytest.mark.usefixtures("few")
def test_self_critical_training_sees_pictures_as_they_are(
    make: Callable[..., Trainer], more: dict[str, Any]
) -> None:
    trainer = make(**TOLD, epochs=1, scst_epochs=1, more=more)
    cross_entropy, self_critical = (
        trainer.loader.load(phase, trainer.captioner).train for phase in plan(trainer.config)
    )
    assert (len(cross_entropy), len(self_critical)) == (MORE_STEPS, STEPS)
    assert not any(batch.words.any() for batch in self_critical)
    assert any(batch.words.any() for batch in cross_entropy)


def test_a_start_without_tags_gains_them(
    make: Callable[..., Trainer],
) -> None:
    first = make("first", epochs=0, scst_epochs=1)
    first.folder.open()
    first.folder.save(first.captioner, "best.pt")
    start = read_start(first.folder.path / "best.pt")
    assert "tags" not in start.architecture
    made = make(tags=3, more={"start": start})
    words = made.folder._vocabulary.itos
    assert words[: len(start.itos)] == start.itos
    assert torch.equal(made.captioner.tagger.state_dict()["classifier.weight"], classifier()[0])
    known = made.captioner.decoder.embedding.weight[: len(start.itos)]
    assert torch.equal(known, start.weights["decoder.embedding.weight"])


def test_a_start_with_tags_keeps_them(make: Callable[..., Trainer]) -> None:
    first = make("first", tags=3)
    for parameter in first.captioner.tagger.classifier.parameters():
        parameter.add_(1)
    first.captioner.rules.worth.fill_(0.25)
    first.folder.open()
    first.folder.save(first.captioner, "best.pt")
    start = read_start(first.folder.path / "best.pt")
    assert start.architecture["tags"] == 3
    text = ["a wholly different caption"] * 3
    made = make(tags=3, text_threshold=1, more={"start": start, "text": text})
    known, code = len(start.itos), made.folder._vocabulary.stoi
    assert code["wholly"] >= known
    theirs, ours = first.captioner.state_dict(), made.captioner.state_dict()
    for name, value in theirs.items():
        if name.startswith("tagger."):
            assert torch.equal(ours[name][: len(value)], value), name
    assert (ours["rules.worth"][:known] == 0.25).all()
    assert ours["rules.heads"][code["wholly"]] == 0


def test_an_archive_from_before_tags_has_neither_tags_nor_rules() -> None:
    with open_model(ARCHIVE) as files:
        content = files.content()
    old = {**content["config"]}
    old.pop("tags", None)
    parts = ("tagger.", "rules.", "decoder.tags.")
    weights = {k: v for k, v in content["model"].items() if not k.startswith(parts)}
    made = checkpoint.rebuild({**content, "config": old, "model": weights})
    assert made.config.tags == made.captioner.tagger.count == 0
    assert not any(table.any() for table in made.captioner.rules.buffers())
