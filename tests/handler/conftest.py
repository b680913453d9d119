"""Drawn pictures, and a small scripted captioner that honours the exported one's interface."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from ts.context import Context, RequestProcessor
from ts.metrics.dimension import Dimension

from handler.caption_handler import CaptionHandler
from handler.text import EOS, SPECIALS

SIZE = 16
WORDS = (*SPECIALS, "a", "very", "red", "green", "blue", "picture", "is", "n't", ".")
FAILING_LENGTH = 13
CARD = {"name": "toy", "encoder": "none", "decoder": "none"}


class ToyCaptioner(torch.nn.Module):
    """Names the strongest colour of a picture; hypothesis k says "very" k times.

    It raises for the length `FAILING_LENGTH`, and answers NaN for a white picture.
    """

    def __init__(self) -> None:
        super().__init__()
        self.image_size = SIZE
        self.grid_rows = 2
        self.grid_columns = 3
        self.vocab_size = len(WORDS)
        self.failing_length = FAILING_LENGTH
        self.eos = EOS
        self.gain = torch.nn.Parameter(torch.ones(1, dtype=torch.float16), requires_grad=False)

    def forward(
        self,
        images: torch.Tensor,
        beam_size: int,
        max_length: int,
        with_attention: bool,
        num_captions: int,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        if max_length == self.failing_length:
            raise RuntimeError("/secret/path: CUDA out of memory")
        B, T = images.shape[0], max_length + 1
        G = self.grid_rows * self.grid_columns
        means = (images.to(self.gain.dtype) / 255.0 * self.gain).mean(dim=[2, 3])  # (B, 3)
        tokens = torch.zeros(B, beam_size, T, dtype=torch.long)
        log_probs = torch.zeros(B, beam_size, T)
        attention = torch.zeros(B, beam_size, T if with_attention else 0, G)
        for b in range(B):
            for k in range(beam_size):
                words = [4] + [5] * k + [6 + int(means[b].argmax()), 9]
                words = words[:max_length] + [self.eos]
                for t in range(len(words)):
                    tokens[b, k, t] = words[t]
                    log_probs[b, k, t] = -0.1 * (k + 1)
                    if bool(means[b].min() > 0.99):
                        log_probs[b, k, t] = float("nan")
                    if with_attention:
                        attention[b, k, t] = 1.0 / G
        confidence = 0.9 - 0.1 * torch.arange(beam_size).float().repeat(B, 1)
        N = num_captions
        return tokens[:, :N], log_probs[:, :N], attention[:, :N], confidence[:, :N]


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of an archive."""
    folder = tmp_path_factory.mktemp("archive")
    torch.jit.script(ToyCaptioner().eval()).save(str(folder / "captioner.pt"))
    stoi = {word: index for index, word in enumerate(WORDS)}
    (folder / "vocab.json").write_text(json.dumps(stoi), encoding="utf-8")
    (folder / "model_card.json").write_text(json.dumps(CARD), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def make_context(model_dir: Path) -> Callable[..., Context]:
    """Build TorchServe's own context, as a worker would."""

    def make(section: dict[str, Any] | None = None, gpu: int | None = None) -> Context:
        manifest = {"model": {"serializedFile": "captioner.pt", "modelVersion": "1.0"}}
        config = {"captioner": {"warm_up": [1], "max_bytes": 100_000, **(section or {})}}
        return Context("captioner", str(model_dir), manifest, 8, gpu, "0.12.0", True, None, config)

    return make


@pytest.fixture(scope="session")
def handler(make_context: Callable[..., Context]) -> CaptionHandler:
    """A handler that is READY."""
    ready = CaptionHandler()
    ready.initialize(make_context())
    return ready


Request = tuple[dict[str, Any], dict[str, str]]  # fields and headers
Answer = tuple[int, Any]  # status and JSON


def _not_json(constant: str) -> float:
    raise AssertionError(f"{constant} is not JSON")


class Counters(dict[str, int]):
    """What a worker counts, summed by name."""

    def add_counter(self, name: str, value: int, *, dimensions: Sequence[Dimension]) -> None:
        """Take a count as TorchServe's own collector does."""
        assert [one.name for one in dimensions] == ["ModelName", "ModelVersion", "Level"]
        self[name] = self.get(name, 0) + value


@pytest.fixture
def counters() -> Counters:
    """What the worker of a test counts."""
    return Counters()


@pytest.fixture
def ask(
    handler: CaptionHandler, make_context: Callable[..., Context], counters: Counters
) -> Callable[[Sequence[Request]], list[Answer]]:
    """Send one batch, and get each request's status and JSON."""

    def send(requests: Sequence[Request]) -> list[Answer]:
        context = make_context()
        context.metrics = counters
        # TorchServe mixes each form field's content type into the headers.
        context.request_processor = [
            RequestProcessor({**{name: {"content-type": None} for name in fields}, **headers})
            for fields, headers in requests
        ]
        bodies = handler.handle([fields for fields, _ in requests], context)
        assert len(bodies) == len(requests)
        for index in range(len(requests)):
            assert context.get_response_content_type(index) == "application/json"
        return [
            (context.get_response_status(index)[0], json.loads(body, parse_constant=_not_json))
            for index, body in enumerate(bodies)
        ]

    return send


@pytest.fixture(scope="session")
def draw() -> Callable[..., bytes]:
    """Draw a picture of one colour, as a file of the given format."""

    def encoded(colour: str, file_format: str = "PNG", size: tuple[int, int] = (40, 30)) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", size, colour).save(buffer, file_format)
        return buffer.getvalue()

    return encoded
