"""The real training command on drawn pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from handler.text import read_vocabulary
from tests.training.drawn import DEV, TAUGHT
from training import train
from training.common.cli import DeviceError, choose_device
from training.data.things import read_things
from training.trainer import checkpoint
from training.trainer.config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
METRICS = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider"]


def test_a_run_learns(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 13))
    phases = [line["phase"] for line in lines]
    assert phases == ["cross-entropy"] * 10 + ["fine-tuning", "self-critical"]
    supervised = ["epoch", "phase", "loss_dev", *METRICS, "loss_train"]
    assert all(list(line) == supervised for line in lines[:11])
    assert list(lines[11]) == [*supervised[:-1], "reward"]
    assert lines[9]["loss_train"] < 0.1 * lines[0]["loss_train"]
    assert lines[9]["loss_dev"] < 0.1 * lines[0]["loss_dev"]
    assert lines[-1]["cider"] > 9
    assert 4 < lines[-1]["reward"] <= 11  # CIDEr-D to 10, BLEU-4 to 1


def test_a_run_keeps_what_it_needs(run: Path, drawn_data: Path) -> None:
    saved = checkpoint.load(run / "best.pt")
    assert saved.config == TrainConfig(**json.loads((run / "config.json").read_text()))
    assert saved.vocabulary.itos == read_vocabulary(run / "vocab.json")
    assert set(saved.vocabulary.itos[4:]) == {
        *(word for drawing in TAUGHT for word in drawing.caption.split()),
        *read_things().words,
    }
    assert saved.training["pictures"] == {"train": 72, "dev": 24, "test": 12}
    assert saved.training["position"]["best"] > 9
    assert not saved.captioner.training


def test_tensorboard_has_scalars_and_examples(run: Path) -> None:
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    tags = events.Tags()
    assert {"epoch/cider", "epoch/loss_dev", "epoch/bleu_4", "epoch/loss_train"} <= set(
        tags["scalars"]
    )
    for phase in ("cross-entropy", "fine-tuning", "self-critical"):
        assert f"{phase}/step" in tags["scalars"]
    assert len(events.Scalars("cross-entropy/step")) == 10 * 18
    assert [event.step for event in events.Scalars("epoch/cider")] == list(range(1, 13))
    texts = events.Tensors("cross-entropy/examples/text_summary")
    assert [event.step for event in texts] == list(range(0, 180, 10))
    shown = texts[-1].tensor_proto.string_val[0].decode().splitlines()
    assert shown == [f"- {d.name}: **{d.caption}** ({d.caption})" for d in DEV[:4]]


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--encoder", "nonsense", "--tags", "0"], "nonsense"),
        (["--device", "tpu9"], "tpu9"),
        (["--init", "nowhere.mar"], "nowhere.mar"),
        (["--init", "nowhere.pt"], "nowhere.pt"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    drawn_data: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    words: list[str],
    key: str,
) -> None:
    options = ["--data", str(drawn_data), "--output", str(tmp_path / "run"), "--cache"]
    tiny = [str(tmp_path), "--encoder", "tiny", "--freq-threshold", "1", "--epochs", "1"]
    assert train.main([*options, *tiny, *words]) == 1
    assert caplog.messages[-1].startswith("error: ")
    assert key in caplog.messages[-1]
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("--workers 2 --finetune-epochs 0", "--workers has no effect"),
        ("--cache here --epochs 0", "--cache has no effect"),
        ("--cache here --train-encoder", "--cache has no effect"),
        ("--scst-lr 1e-3", "--scst-lr has no effect"),
        ("--text-batch 9", "--text-batch has no effect without --text"),
        ("--text here --tags 0", "--text has no effect on a decoder without --tags"),
        ("--also here --epochs 0 --finetune-epochs 0", "--also has no effect without --epochs"),
        ("--threads 0", "--threads"),
    ],
)
def test_an_option_that_would_be_ignored_is_an_error(
    capsys: pytest.CaptureFixture[str], words: str, key: str
) -> None:
    with pytest.raises(SystemExit) as raised:
        train.main(["--data", "nowhere", *words.split()])
    assert raised.value.code == 2
    assert key in capsys.readouterr().err


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="0 GPUs"):
        choose_device("cuda")
    assert choose_device(None).type == "cpu"
