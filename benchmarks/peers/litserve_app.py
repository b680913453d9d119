"""LitServe with its own batching before the same captioner: ``benchmarks.peers.litserve_app``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import litserve
import torch

from benchmarks.peers.models import exported
from handler.decode import decode
from handler.engines import Search
from handler.text import EOS, PAD, detokenise

SEARCH = Search(beam_size=3, max_length=20, num_captions=3)


class CaptionAPI(litserve.LitAPI):  # type: ignore[misc]
    """The shipped captioner, by the engine that our handler takes."""

    def setup(self, device: str) -> None:
        """Load the model; each worker does so once."""
        self.captioner = exported()
        self.captioner(
            torch.zeros(8, 3, *[self.captioner.image_size] * 2, dtype=torch.uint8), SEARCH
        )
        print("ready", flush=True)

    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """The form field ``image`` to pixels. LitServe takes a form, or JSON: no plain body; and
        it reads an annotation of ``request`` as the type of a JSON body."""
        return decode(request["image"].file.read(), self.captioner.image_size).pixels

    def batch(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        """Pixels to a batch."""
        return torch.stack(inputs)

    def predict(self, images: torch.Tensor) -> list[str]:
        """Caption a batch."""
        words = self.captioner.vocabulary
        best = self.captioner(images, SEARCH).tokens[:, 0].tolist()
        return [detokenise([words[i] for i in row if i not in (PAD, EOS)]) for row in best]

    def unbatch(self, output: list[str]) -> list[str]:
        """A batch to its answers."""
        return output

    def encode_response(self, output: str) -> dict[str, Any]:
        """The answer of one request."""
        return {"caption": output}


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args(argv)
    api = CaptionAPI(max_batch_size=8, batch_timeout=0.005, api_path="/caption")
    server = litserve.LitServer(api, accelerator="cpu")
    # It would take any package mcp that is installed for the fastmcp that it knows.
    litserve.server._MCP_AVAILABLE = False
    server.run(host="127.0.0.1", port=arguments.port, generate_client_file=False, log_level="error")


if __name__ == "__main__":
    main()
