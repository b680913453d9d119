"""The handler under TorchServe's own context, with a toy captioner in the archive's place."""

import json
import math
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from ts.context import Context
from ts.utils.util import list_classes_from_module

from handler import caption_handler
from handler.caption_handler import CaptionHandler
from handler.captioner import Captioner, choose_device
from handler.engines import Beams, Search

Request = tuple[dict[str, Any], dict[str, str]]
Ask = Callable[[Sequence[Request]], list[tuple[int, Any]]]
Draw = Callable[..., bytes]


def test_caption_of_a_picture(ask: Ask, draw: Draw) -> None:
    [(status, answer)] = ask([({"body": bytearray(draw("green", "JPEG"))}, {})])
    assert status == 200
    assert answer["caption"] == "a green picture"
    assert [one["caption"] for one in answer["captions"]] == [
        "a green picture",
        "a very green picture",
        "a very very green picture",
    ]
    assert answer["image"] == {"width": 40, "height": 30, "format": "JPEG"}
    assert answer["model"] == {"name": "captioner", "version": "1.0"}
    second = answer["captions"][1]
    assert list(second) == ["caption", "log_probability", "confidence", "words"]
    assert second["log_probability"] == pytest.approx(-0.2 * 5)  # four words and <EOS>
    assert second["confidence"] == pytest.approx(0.8, abs=1e-6)
    assert second["words"][1] == {
        "word": "very",
        "probability": pytest.approx(math.exp(-0.2), abs=1e-6),
    }


def test_attention_is_given_where_explanations_are_asked_for(ask: Ask, draw: Draw) -> None:
    [(status, answer)] = ask([({"data": draw("red")}, {"explain": "True"})])
    assert status == 200
    for caption in answer["captions"]:
        assert caption["words"]
        for word in caption["words"]:
            grid = word["attention"]
            assert (grid["rows"], grid["columns"], len(grid["weights"])) == (2, 3, 6)
            assert sum(grid["weights"]) == pytest.approx(1.0, abs=1e-4)


def test_options_come_from_fields_or_headers(ask: Ask, draw: Draw) -> None:
    picture = draw("blue")
    answers = ask(
        [
            ({"data": picture, "num_captions": bytearray(b"5"), "max_length": "3"}, {}),
            ({"body": picture}, {"X-Num-Captions": "1", "x-max-length": "2", "X-BEAM-SIZE": "2"}),
        ]
    )
    assert [status for status, _ in answers] == [200, 200]
    assert [len(answer["captions"]) for _, answer in answers] == [5, 1]
    assert answers[0][1]["captions"][4]["caption"] == "a very very"  # cut at three words
    assert answers[1][1]["caption"] == "a blue"


def test_description_is_the_model_card_and_more(ask: Ask) -> None:
    [(status, description)] = ask([({}, {"describe": "True"})])
    assert status == 200
    assert description["name"] == "toy"
    assert description["vocabulary_size"] == 13
    assert description["image_size"] == 16
    assert description["grid"] == {"rows": 2, "columns": 3}
    assert description["device"] == "cpu"
    assert description["precision"] == "float32"
    assert description["options"]["beam_size"] == {"default": 3, "min": 1, "max": 8}
    assert description["limits"]["max_bytes"] == 100_000


BAD = [
    ({}, {}, 400, "MissingImage", "the multipart form field 'data'; neither came"),
    ({"body": b""}, {}, 400, "MissingImage", "empty"),
    ({"data": ""}, {}, 400, "MissingImage", "empty"),
    ({"data": "a text field"}, {}, 415, "UnsupportedImage", "this is text"),
    ({"body": {"image": "json"}}, {}, 415, "UnsupportedImage", "this is text"),
    ({"body": bytearray(100_001)}, {}, 413, "ImageTooLarge", "0.1 MiB"),
    ({"body": b"\xff\xd8\xff\xe0\0\x10JFIF"}, {}, 422, "CorruptImage", "JPEG"),
    ({"body": b"", "beam_size": "99"}, {}, 400, "InvalidOption", "beam_size is 99"),
    ({"body": b""}, {"X-Max-Length": "long"}, 400, "InvalidOption", "max_length is 'long'"),
]


@pytest.mark.parametrize(("fields", "headers", "code", "kind", "message"), BAD)
def test_bad_request_is_answered(
    ask: Ask, fields: dict[str, Any], headers: dict[str, str], code: int, kind: str, message: str
) -> None:
    [(status, answer)] = ask([(fields, headers)])
    assert status == code
    assert list(answer) == ["code", "type", "message"]
    assert answer["code"] == code
    assert answer["type"] == kind
    assert message in answer["message"]


def test_each_request_of_a_mixed_batch_gets_its_own_answer(ask: Ask, draw: Draw) -> None:
    requests: list[Request] = []
    expected: list[tuple[int, str]] = []
    for index, (fields, headers, code, kind, _) in enumerate(BAD):
        colour = ("red", "green", "blue")[index % 3]
        mark = ({}, {"explain": "True"}, {"X-Beam-Size": "5"}, {"X-Max-Length": "9"})[index % 4]
        requests += [({"body": draw(colour)}, mark), (fields, headers), ({}, {"describe": "True"})]
        expected += [(200, f"a {colour} picture"), (code, kind), (200, "toy")]
    answers = ask(requests)
    got = [
        (status, answer.get("caption") or answer.get("type") or answer.get("name"))
        for status, answer in answers
    ]
    assert got == expected
    attention = ["attention" in answer["captions"][0]["words"][0] for _, answer in answers[::3]]
    assert attention == [index % 4 == 1 for index in range(len(BAD))]


def test_equal_options_share_one_call(
    ask: Ask, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []
    caption = Captioner.__call__

    def spy(self: Captioner, images: torch.Tensor, search: Search) -> Beams:
        calls.append((len(images), *search))
        return caption(self, images, search)

    monkeypatch.setattr(Captioner, "__call__", spy)
    picture = {"body": draw("red")}
    marks = [
        {"X-Num-Captions": "1"},
        {"X-Num-Captions": "2"},
        {"explain": "True"},
        {"X-Beam-Size": "4"},
        {"X-Num-Captions": "1"},
    ]
    answers = ask([(picture, mark) for mark in marks])
    assert [len(answer["captions"]) for _, answer in answers] == [1, 2, 3, 3, 1]
    # As many sentences as the most demanding one of them wants.
    assert calls == [(3, 3, 20, 2, False), (1, 3, 20, 3, True), (1, 4, 20, 3, False)]


def test_failing_group_fails_alone(ask: Ask, draw: Draw, caplog: pytest.LogCaptureFixture) -> None:
    picture = {"body": draw("red")}
    answers = ask([(picture, {}), (picture, {"X-Max-Length": "13"}), (picture, {})])
    assert [status for status, _ in answers] == [200, 500, 200]
    failure = answers[1][1]
    assert failure["type"] == "CaptioningFailed"
    assert "secret" not in json.dumps(failure)
    assert "CUDA" not in json.dumps(failure)
    assert "secret" in caplog.text  # the reason is in the log


def test_answer_that_is_not_finite_fails_alone(ask: Ask, draw: Draw) -> None:
    answers = ask([({"body": draw(colour)}, {}) for colour in ("red", "white", "blue")])
    assert [status for status, _ in answers] == [200, 500, 200]
    assert answers[1][1]["type"] == "CaptioningFailed"


def test_the_log_names_requests_by_their_ids(
    ask: Ask, draw: Draw, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "handler.caption_handler")
    picture = {"body": draw("red")}
    forged = {"X-Request-ID": "one\nMODEL_LOG - two"}
    ask([(picture, {"X-Request-ID": "abc-1"}), (picture, {}), (picture, forged)])
    assert re.fullmatch(r"Answered 3 in \d+ ms, requests abc-1 - -", caplog.messages[-1])
    failing = {"X-Request-ID": "f.2", "X-Max-Length": "13"}
    ask([(picture, failing)])
    assert "The captioner failed on requests ['f.2']" in caplog.messages


def test_batches_and_their_requests_are_counted(
    ask: Ask, draw: Draw, counters: dict[str, int]
) -> None:
    picture = {"body": draw("red")}
    ask([(picture, {})] * 3)
    ask([(picture, {}), ({}, {})])
    assert counters == {"CaptionBatches": 2, "CaptionPictures": 5}


def test_places_left_over_in_the_beam_are_no_captions(
    ask: Ask, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    caption = Captioner.__call__

    def few(self: Captioner, images: torch.Tensor, *group: Any) -> Beams:
        beams = caption(self, images, *group)
        log_probs = beams.log_probs.clone()
        log_probs[:, 1:] = -torch.inf
        return beams._replace(log_probs=log_probs)

    monkeypatch.setattr(Captioner, "__call__", few)
    [(status, answer)] = ask([({"body": draw("red")}, {})])
    assert status == 200
    assert [one["caption"] for one in answer["captions"]] == ["a red picture"]


def test_failure_while_reading_fails_alone(
    ask: Ask, draw: Draw, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decode = caption_handler.decode

    def exhausted(data: bytes, *rest: Any) -> Any:
        if data == b"large":
            raise MemoryError("/secret/path")
        return decode(data, *rest)

    monkeypatch.setattr(caption_handler, "decode", exhausted)
    answers = ask([({"body": b"large"}, {}), ({"body": draw("red")}, {})])
    assert [status for status, _ in answers] == [500, 200]
    assert "secret" not in json.dumps(answers[0][1])
    assert "MemoryError" in caplog.text


def test_phrases_are_ascii(ask: Ask, handler: CaptionHandler) -> None:
    class Recorder:
        def set_response_content_type(self, index: int, value: str) -> None: ...

        def set_response_status(self, code: int, phrase: str, index: int) -> None:
            assert type(int(code)) is int
            assert phrase.isascii()
            assert phrase

    for fields, headers, *_ in BAD:
        handler.encode(handler.decode(fields, headers), 0, Recorder())  # type: ignore[arg-type]


def test_torchserve_finds_one_class() -> None:
    assert list_classes_from_module(caption_handler) == [CaptionHandler]


def test_gpu_that_is_not_there_stops_the_start(make_context: Callable[..., Context]) -> None:
    gpu = torch.cuda.device_count()
    with pytest.raises(RuntimeError, match=f"TorchServe assigned GPU {gpu}"):
        CaptionHandler().initialize(make_context(gpu=gpu))
    assert choose_device(None) == torch.device("cpu")


def test_threads_are_set(make_context: Callable[..., Context]) -> None:
    before = torch.get_num_threads()
    try:
        CaptionHandler().initialize(make_context({"threads": before + 1}))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_every_batch_size_is_warmed_up_before_the_worker_is_ready(
    make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []
    caption = Captioner.__call__

    def spy(self: Captioner, images: torch.Tensor, search: Search) -> Beams:
        calls.append((len(images), *search))
        return caption(self, images, search)

    monkeypatch.setattr(Captioner, "__call__", spy)
    handler = CaptionHandler()
    handler.initialize(make_context({"warm_up": [1, 4], "max_length": 9}))
    assert handler.initialized
    assert calls == [(n, 3, 9, 3, attention) for n in (1, 4) for attention in (False, True)]


def test_model_that_fails_is_never_ready(make_context: Callable[..., Context]) -> None:
    handler = CaptionHandler()
    with pytest.raises(torch.jit.Error):
        handler.initialize(make_context({"max_length": 13}))
    assert not handler.initialized


def test_foreign_vocabulary_stops_the_start(
    make_context: Callable[..., Context], model_dir: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "archive")
    stoi = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps({**stoi, "more": len(stoi)}))
    context = make_context()
    context.system_properties["model_dir"] = str(folder)
    with pytest.raises(ValueError, match="vocab.json has 14 tokens, but captioner.pt has 13"):
        CaptionHandler().initialize(context)
