"""Ollama's API: generate, chat, and what clients ask about models."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, jsonify

from webui.administrator import keys
from webui.protocols import asking
from webui.protocols.asking import Reply
from webui.protocols.pictures import from_base64, read_all
from webui.torchserve.management import Version
from webui.web.bodies import BadBody
from webui.web.extensions import csrf, service, upload_limit
from webui.web.problem import ServiceError
from webui.web.settings import Settings

bp = Blueprint("ollama", __name__, url_prefix="/api")
csrf.exempt(bp)
bp.before_request(keys.required)
bp.before_request(asking.allow_base64)

# Ollama's paths lie among our own: what it has beyond these routes is refused in its shape, too.
OTHERS = ("embed", "embeddings", "pull", "push", "create", "copy", "delete", "blobs")
OWN = ("generate", "chat", "tags", "ps", "version", "show")
PATHS = tuple(f"/api/{name}" for name in (*OWN, *OTHERS))
FOLLOWED = "0.12.0"  # Ollama's version whose API this is: clients look it up for what they may send
WHERE = "images"

Wrap = Callable[[str], dict[str, Any]]


def error_json(error: ServiceError) -> dict[str, Any]:
    """An error as this API's clients read it."""
    return {"error": error.message}


@bp.post("/generate")
@upload_limit
def generate() -> Response:
    """Caption the pictures in `images`; the prompt is not followed."""
    body = asking.read_body()
    images = body.get("images")
    if not images and not body.get("prompt"):  # how clients load and unload a model
        return _loaded(body, {"response": ""})
    return _answer(body, images, lambda text: {"response": text})


@bp.post("/chat")
@upload_limit
def chat() -> Response:
    """Caption the pictures of the last message that has some."""
    body = asking.read_body()
    messages = body.get("messages")
    if not messages:
        return _loaded(body, {"message": {"role": "assistant", "content": ""}})
    given = [one for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []
    images = next((one["images"] for one in reversed(given) if one.get("images")), None)
    return _answer(body, images, lambda text: {"message": {"role": "assistant", "content": text}})


def _loaded(body: dict[str, Any], empty: dict[str, Any]) -> Response:
    asking.known_version(body.get("model"))
    return jsonify(model=body["model"], created_at=_now(), **empty, done=True, done_reason="load")


def _answer(body: dict[str, Any], images: object, wrap: Wrap) -> Response:
    """Caption, and answer whole or word by word; `wrap` is where a text stands in an answer."""
    started = time.perf_counter_ns()
    version = asking.version_of(body.get("model"))
    options, longest = _options(body)
    schema = _schema(body.get("format"))
    pictures = read_all(images, WHERE, from_base64)
    answers = asking.caption(pictures, version, options)
    (reply,) = asking.replies(answers, 1, longest, schema)
    took = time.perf_counter_ns() - started
    last = {
        "done": True,
        "done_reason": "length" if reply.cut else "stop",
        "total_duration": took,
        "load_duration": 0,
        "prompt_eval_count": 0,
        "prompt_eval_duration": 0,
        "eval_count": len(reply.tokens),
        "eval_duration": took,
    }
    if body.get("stream") is False:
        return jsonify(model=body["model"], created_at=_now(), **wrap(reply.text), **last)
    return Response(
        "".join(_lines(body["model"], reply, wrap, last)), mimetype="application/x-ndjson"
    )


def _lines(model: str, reply: Reply, wrap: Wrap, last: dict[str, Any]) -> Iterator[str]:
    """A line a word, and the last one. The caption is there before, so they go as one."""
    for text, more in (*((token.text, {"done": False}) for token in reply.tokens), ("", last)):
        line = {"model": model, "created_at": _now(), **wrap(text), **more}
        yield f"{json.dumps(line)}\n"


def _options(body: dict[str, Any]) -> tuple[dict[str, int], int | None]:
    """Our options of theirs: only the length has a meaning here. Raises BadBody."""
    given = body.get("options") or {}
    if not isinstance(given, dict):
        raise BadBody(f"Expected an object for options, got {json.dumps(given)[:20]}.")
    longest = asking.option(given, "num_predict", asking.LONGEST)
    return ({"max_length": longest} if longest else {}), longest


def _schema(form: object) -> dict[str, Any] | None:
    """The schema that an answer is to fit, {} for any object, None for plain text."""
    if form in (None, ""):
        return None
    if form == "json":
        return {}
    if isinstance(form, dict) and form:
        return form
    raise BadBody(f"Expected 'json' or a JSON schema for format, got {json.dumps(form)[:20]}.")


@bp.get("/tags")
def list_models() -> Response:
    """The default, by the model's name alone, and every version."""
    return jsonify(models=_listed(asking.versions()))


@bp.get("/ps")
def list_running() -> Response:
    """Those of which a worker is ready."""
    return jsonify(models=_listed([one for one in asking.versions() if one.ready]))


@bp.get("/version")
def show_version() -> Response:
    """The version of Ollama that this is like."""
    return jsonify(version=FOLLOWED)


@bp.post("/show")
def show() -> Response:
    """What a model can do, and that it follows no prompt."""
    body = asking.read_body()
    one = asking.known_version(body.get("model") or body.get("name"))
    card = asking.card(one)
    details = _details(card)
    return jsonify(
        modelfile=f"# {asking.PROMPTS}\n",
        parameters="",
        template="",
        license=str(card.get("licence") or ""),
        details=details,
        model_info={
            "general.architecture": details["family"],
            "general.description": f"{card.get('description') or ''} {asking.PROMPTS}".strip(),
            "general.version": one.version,
        },
        capabilities=["completion", "vision"],
    )


def _listed(versions: list[Version]) -> list[dict[str, Any]]:
    default = [(asking.LATEST, one) for one in versions if one.default]
    return [_model(tag, one) for tag, one in (*default, *((one.version, one) for one in versions))]


def _model(tag: str, version: Version) -> dict[str, Any]:
    """One line of a list. The digest is of the archive's name: that of its bytes is not known."""
    name = f"{service(Settings).model_name}:{tag}"
    digest = hashlib.sha256(f"{version.version} {version.archive}".encode()).hexdigest()
    return {
        "name": name,
        "model": name,
        "size": 0,
        "size_vram": 0,
        "digest": digest,
        "details": _details(asking.card(version)),
    }


def _details(card: dict[str, Any]) -> dict[str, Any]:
    """What a card says of its model, as Ollama says it of one; an adopted one's parent is named."""
    parts = [str(card[part]) for part in ("encoder", "decoder") if card.get(part)] or ["captioner"]
    count = card.get("parameters")
    return {
        "parent_model": asking.adopted_from(card),
        "format": "mar",
        "family": parts[0],
        "families": list(dict.fromkeys(parts)),
        "parameter_size": f"{count / 1e6:.1f}M" if isinstance(count, int) else "",
        "quantization_level": "",
    }


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
