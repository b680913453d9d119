"""The shape of the application that this project started from: ``benchmarks.peers.original``.

Flask's own server, one picture a request, the PyTorch module as it is. With ``--reload`` the model
is built and its weights are read for every request, as that application did. The model is ours, so
that serving alone is compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from flask import Flask, request

from benchmarks.peers.models import eager, sentence
from handler.decode import decode


def create_app(*, reload: bool) -> Flask:
    """The application; ``POST /caption`` takes a picture's bytes."""
    app = Flask(__name__)
    loaded = None if reload else eager()

    @app.post("/caption")
    def caption() -> dict[str, str]:
        captioner, itos = loaded or eager()
        picture = decode(request.get_data(), captioner.image_size)
        with torch.inference_mode():
            tokens = captioner(picture.pixels.unsqueeze(0), 3, 20, False)[0]
        return {"caption": sentence(tokens[0, 0], itos)}

    return app


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--reload", action="store_true", help="load the model for every request")
    arguments = parser.parse_args(argv)
    app = create_app(reload=arguments.reload)
    print("ready", flush=True)
    app.run("127.0.0.1", arguments.port, threaded=True)


if __name__ == "__main__":
    main()
