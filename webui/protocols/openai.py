"""OpenAI's API: chat completions, responses, and the list of models."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, jsonify

from webui.administrator import keys
from webui.protocols import asking, responses
from webui.protocols.asking import Reply, Token
from webui.protocols.pictures import from_address, read_all
from webui.torchserve.management import Version
from webui.web.bodies import BadBody
from webui.web.extensions import csrf, service, upload_limit
from webui.web.problem import ServiceError
from webui.web.settings import Settings

bp = Blueprint("openai", __name__, url_prefix="/v1")
csrf.exempt(bp)
bp.before_request(keys.required)
bp.before_request(asking.allow_base64)

PATHS = ("/v1",)
LEAST_LOG = -9999.0  # of a word without any probability, as there
CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
WHERE = "an image_url of the messages"


def error_json(error: ServiceError) -> dict[str, Any]:
    """An error as this API's clients read it."""
    code = "model_not_found" if error.type == "NoSuchModel" else CODES.get(error.code, error.type)
    type_ = "invalid_request_error" if error.code < 500 else "server_error"
    return {"error": {"message": error.message, "type": type_, "param": None, "code": code}}


@bp.get("/models")
def list_models() -> Response:
    """The default, by the model's name alone, and every version."""
    name, versions = service(Settings).model_name, asking.versions()
    default = [_model(name, one) for one in versions if one.default]
    numbered = [_model(f"{name}:{one.version}", one) for one in versions]
    return jsonify(object="list", data=[*default, *numbered])


@bp.get("/models/<model>")
def show_model(model: str) -> Response:
    """One model."""
    return jsonify(_model(model, asking.known_version(model)))


def _model(name: str, version: Version) -> dict[str, Any]:
    """One line of the list; an adopted model belongs to the published one that it is."""
    owner = asking.adopted_from(asking.card(version)) or "captionize"
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


@bp.post("/chat/completions")
@upload_limit
def complete_chat() -> Response:
    """Caption the pictures of the last message that has some."""
    body = asking.read_body()
    version = asking.version_of(body.get("model"))
    longest = asking.option(body, "max_completion_tokens", asking.LONGEST)
    longest = longest or asking.option(body, "max_tokens", asking.LONGEST)
    count = _count(body)
    options = {"num_captions": count} if count > 1 else {}
    options |= {"max_length": longest} if longest else {}
    pictures = read_all(_addresses(body.get("messages")), WHERE, from_address)
    schema = json_schema(body.get("response_format"), "json_schema")
    answers = asking.caption(pictures, version, options)
    replies = asking.replies(answers, count, longest, schema)
    made = {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "system_fingerprint": f"{answers[0]['model']['name']}:{answers[0]['model']['version']}",
    }
    logprobs = body.get("logprobs") is True and schema is None
    if body.get("stream"):
        made["object"] = "chat.completion.chunk"
        wanted = body.get("stream_options")
        usage = isinstance(wanted, dict) and bool(wanted.get("include_usage"))
        return events(_chunks(made, replies, logprobs=logprobs, usage=usage))
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": reply.text, "refusal": None},
            "logprobs": _logprobs(reply.tokens) if logprobs else None,
            "finish_reason": "length" if reply.cut else "stop",
        }
        for index, reply in enumerate(replies)
    ]
    return jsonify({**made, "choices": choices, "usage": _usage(replies)})


def _count(body: dict[str, Any]) -> int:
    """How many captions are wanted; more than there can be is an error. Raises BadBody."""
    count = asking.option(body, "n", asking.MOST_CAPTIONS + 1) or 1
    if count > asking.MOST_CAPTIONS:
        raise BadBody(f"Expected at most {asking.MOST_CAPTIONS} for n, got {str(body['n'])[:20]}.")
    return count


def _addresses(messages: object) -> list[object]:
    """The pictures of the last message that has any: what came before it was answered already."""
    found: list[object] = []
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        parts = (
            [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []
        )
        images = [one.get("image_url") for one in parts if one.get("type") == "image_url"]
        found = [one.get("url") if isinstance(one, dict) else one for one in images] or found
    return found


def json_schema(given: object, inside: str = "") -> dict[str, Any] | None:
    """The schema that an answer is to fit, {} for any object, None for plain text."""
    if not isinstance(given, dict) or given.get("type") in (None, "text"):
        return None
    if given["type"] == "json_object":
        return {}
    holder = given.get(inside) if inside else given
    schema = holder.get("schema") if isinstance(holder, dict) else None
    if given["type"] != "json_schema" or not isinstance(schema, dict) or not schema:
        raise BadBody(
            "Expected text, json_object, or json_schema with a schema as the answer's format, got "
            f"{json.dumps(given)[:50]}."
        )
    return schema


def _chunks(
    made: dict[str, Any], replies: list[Reply], *, logprobs: bool, usage: bool
) -> Iterator[str]:
    """Each reply word by word, and the end mark."""

    def chunk(index: int, delta: dict[str, Any], **more: Any) -> str:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        return f"data: {json.dumps({**made, 'choices': [choice]})}\n\n"

    for index, reply in enumerate(replies):
        yield chunk(index, {"role": "assistant", "content": ""})
        for token in reply.tokens:
            spoken = _logprobs([token]) if logprobs else None
            yield chunk(index, {"content": token.text}, logprobs=spoken)
        yield chunk(index, {}, finish_reason="length" if reply.cut else "stop")
    if usage:
        yield f"data: {json.dumps({**made, 'choices': [], 'usage': _usage(replies)})}\n\n"
    yield "data: [DONE]\n\n"


def events(texts: Iterator[str]) -> Response:
    """Server-sent events. The caption is there before its first word is sent, so they go as one."""
    return Response("".join(texts), mimetype="text/event-stream")


def _logprobs(tokens: list[Token]) -> dict[str, Any]:
    return {"content": [logprob(token) for token in tokens], "refusal": None}


def logprob(token: Token) -> dict[str, Any]:
    """A word with the logarithm of its probability; of other words there is none."""
    return {
        "token": token.text,
        "logprob": math.log(token.probability) if token.probability > 0 else LEAST_LOG,
        "bytes": list(token.text.encode()),
        "top_logprobs": [],
    }


def _usage(replies: list[Reply]) -> dict[str, int]:
    """Words; a picture counts as none."""
    words = sum(len(reply.tokens) for reply in replies)
    return {"prompt_tokens": 0, "completion_tokens": words, "total_tokens": words}


@bp.post("/responses")
@upload_limit
def respond() -> Response:
    """Caption the pictures of the last input that has some."""
    body = asking.read_body()
    version = asking.version_of(body.get("model"))
    longest = asking.option(body, "max_output_tokens", asking.LONGEST)
    pictures = read_all(responses.addresses(body), responses.WHERE, from_address)
    text = body.get("text")
    schema = json_schema(text.get("format") if isinstance(text, dict) else None)
    options = {"max_length": longest} if longest else {}
    answers = asking.caption(pictures, version, options)
    (reply,) = asking.replies(answers, 1, longest, schema)
    wanted = body.get("include")
    spoken = isinstance(wanted, list) and responses.LOGPROBS in wanted and schema is None
    logprobs = [logprob(token) for token in reply.tokens] if spoken else []
    response = responses.Made(body["model"], reply, logprobs)
    return events(response.events()) if body.get("stream") else jsonify(response.whole())
