"""The Open Inference Protocol, version 2: what KServe's and Triton's clients speak."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, jsonify, request

from webui.administrator import keys
from webui.protocols import asking, tensors
from webui.torchserve.answer import Answer
from webui.web.bodies import BadBody
from webui.web.extensions import csrf, upload_limit
from webui.web.problem import ServiceError

bp = Blueprint("inference", __name__, url_prefix="/v2")
csrf.exempt(bp)
bp.before_request(asking.allow_base64)

PATHS = ("/v2",)
INPUT = "image"
OPTIONS = {"beam_size": 8, "num_captions": 8, "max_length": asking.LONGEST}
OUTPUTS = {"caption": "BYTES", "confidence": "FP32", "answer": "BYTES"}
HEALTH = ("inference.live", "inference.ready")
HEADER = "Inference-Header-Content-Length"


def error_json(error: ServiceError) -> dict[str, Any]:
    """An error as this API's clients read it."""
    return {"error": error.message}


@bp.before_request
def let_in() -> None:
    """Probes need no key, as at /readyz; everything else does, where there are keys."""
    if request.endpoint not in HEALTH:
        keys.required()


@bp.get("/health/live")
def live() -> Response:
    """200 while this process answers."""
    return jsonify(live=True)


@bp.get("/health/ready")
def ready() -> tuple[Response, int]:
    """200 while a worker of the default version is ready."""
    there = any(one.default and one.ready for one in asking.versions())
    return jsonify(ready=there), 200 if there else 503


@bp.get("")
def show_server() -> Response:
    """What answers here, and what it can do beyond the protocol."""
    return jsonify(name="captionize", version="2", extensions=["binary_tensor_data"])


@bp.get("/models/<model>", defaults={"version": None})
@bp.get("/models/<model>/versions/<version>")
def show_model(model: str, version: str | None) -> Response:
    """A model's tensors."""
    asking.known_version(_name(model, version))
    return jsonify(
        name=model,
        versions=[one.version for one in asking.versions()],
        platform="torchserve",
        inputs=[{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
        outputs=[{"name": name, "datatype": kind, "shape": [-1]} for name, kind in OUTPUTS.items()],
    )


@bp.get("/models/<model>/ready", defaults={"version": None})
@bp.get("/models/<model>/versions/<version>/ready")
def model_ready(model: str, version: str | None) -> tuple[Response, int]:
    """200 while a worker of the version is ready."""
    there = asking.known_version(_name(model, version)).ready > 0
    return jsonify(name=model, ready=there), 200 if there else 503


@bp.post("/models/<model>/infer", defaults={"version": None})
@bp.post("/models/<model>/versions/<version>/infer")
@upload_limit
def infer(model: str, version: str | None) -> Response:
    """Caption every element of the tensor `image`."""
    wanted = asking.version_of(_name(model, version))
    body, binary = _read()
    given = body.get("parameters") or {}
    if not isinstance(given, dict):
        raise BadBody("Expected an object for parameters.")
    options = {}
    for name, most in OPTIONS.items():
        if (number := asking.option(given, name, most)) is not None:
            options[name] = number
    pictures = tensors.pictures(body.get("inputs"), binary, INPUT)
    answers = asking.caption(pictures, wanted, options)
    outputs = _wanted(body.get("outputs"), bool(given.get("binary_data_output")))
    made = [tensors.Output(name, OUTPUTS[name], _values(name, answers)) for name in outputs]
    head = {
        "model_name": model,
        "model_version": str(answers[0]["model"]["version"]),
        **({"id": body["id"]} if isinstance(body.get("id"), str) else {}),
        "outputs": [one.described(binary=outputs[one.name]) for one in made],
    }
    if not any(outputs.values()):
        return jsonify(head)
    first = json.dumps(head).encode()
    rest = b"".join(one.encoded() for one in made if outputs[one.name])
    response = Response(first + rest, mimetype="application/octet-stream")
    response.headers[HEADER] = str(len(first))
    return response


def _name(model: str, version: str | None) -> str:
    return f"{model}:{version}" if version else model


def _read() -> tuple[dict[str, Any], bytes]:
    """The JSON of the request, and what follows it in the binary extension. Raises BadBody."""
    given = request.headers.get(HEADER)
    if given is None:
        return asking.read_body(), b""
    raw = request.get_data(cache=False)
    if not given.isascii() or not given.isdigit() or int(given[:9]) > len(raw):
        raise BadBody(
            f"Expected the length of the JSON in {HEADER}, at most that of the body ({len(raw)}), "
            f"got {given[:20]!r}."
        )
    length = int(given[:9])
    return asking.parse_body(raw[:length]), raw[length:]


def _wanted(outputs: object, all_binary: bool) -> dict[str, bool]:
    """The outputs to answer with, and whether each is binary. Raises BadBody."""
    if not outputs:
        return dict.fromkeys(("caption", "confidence"), all_binary)
    found: dict[str, bool] = {}
    for given in outputs if isinstance(outputs, list) else [outputs]:
        one: dict[str, Any] = given if isinstance(given, dict) else {}
        name = one.get("name")
        if not isinstance(name, str) or name not in OUTPUTS:
            raise BadBody(f"Expected outputs of {', '.join(OUTPUTS)}, got {str(name)[:50]!r}.")
        how = one.get("parameters")
        found[name] = bool(
            how.get("binary_data", all_binary) if isinstance(how, dict) else all_binary
        )
    return found


def _values(name: str, answers: list[Answer]) -> list[str] | list[float]:
    if name == "confidence":
        return [float(answer["captions"][0]["confidence"]) for answer in answers]
    if name == "caption":
        return [answer["caption"] for answer in answers]
    return [json.dumps(answer, ensure_ascii=False) for answer in answers]
