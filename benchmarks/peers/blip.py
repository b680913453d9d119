"""BLIP-base through transformers: ``benchmarks.peers.blip``.

Its weights are drawn at random, for they are not needed to know its speed: every sentence is made
as long as a caption usually is.
"""

from __future__ import annotations

import argparse
import io
import threading
from collections.abc import Sequence

import numpy as np
import torch
from flask import Flask, request
from PIL import Image

from training.common.torchvision_compat import prepare_torchvision

SIZE = 384  # pixels
TOKENS = 12


def create_app() -> Flask:
    """The application; ``POST /caption`` takes a picture's bytes."""
    prepare_torchvision()
    from transformers import BlipConfig, BlipForConditionalGeneration

    model = BlipForConditionalGeneration(BlipConfig()).eval()
    # Several pictures at once would only share the same cores.
    one_at_a_time = threading.Lock()
    app = Flask(__name__)

    @app.post("/caption")
    def caption() -> dict[str, str]:
        picture = Image.open(io.BytesIO(request.get_data())).convert("RGB").resize((SIZE, SIZE))
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1
        with one_at_a_time, torch.inference_mode():
            tokens = model.generate(
                pixel_values=pixels, num_beams=3, min_new_tokens=TOKENS, max_new_tokens=TOKENS
            )
        return {"caption": " ".join(map(str, tokens[0].tolist()))}

    return app


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args(argv)
    app = create_app()
    print("ready", flush=True)
    app.run("127.0.0.1", arguments.port, threaded=True)


if __name__ == "__main__":
    main()
