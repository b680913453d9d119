"""The objects and events of OpenAI's Responses API."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

from webui.protocols.asking import Reply
from webui.web.bodies import BadBody

LOGPROBS = "message.output_text.logprobs"  # of `include`
WHERE = "an input_image of the input"


def addresses(body: dict[str, Any]) -> list[object]:
    """The pictures of the last message that has any. Raises BadBody for what is not kept here."""
    if body.get("previous_response_id") or body.get("conversation"):
        raise BadBody(
            "Expected the picture with the request, got the id of an earlier answer. Nothing is "
            "stored here: send the picture again."
        )
    found: list[object] = []
    for item in body["input"] if isinstance(body.get("input"), list) else ():
        content = item.get("content") if isinstance(item, dict) else None
        # Parts may also stand in the input itself, without a message around them.
        parts = content if isinstance(content, list) else [item]
        images = [
            one for one in parts if isinstance(one, dict) and one.get("type") == "input_image"
        ]
        if any(one.get("file_id") for one in images):
            raise BadBody(
                "Expected the picture as a data URI in image_url, got a file_id. Nothing is stored "
                "here: send the picture itself."
            )
        found = [one.get("image_url") for one in images] or found
    return found


class Made:
    """One response, whole or as the events of its making."""

    def __init__(self, model: str, reply: Reply, logprobs: list[dict[str, Any]]) -> None:
        self._model, self._reply, self._logprobs = model, reply, logprobs
        self._id, self._message_id = f"resp_{secrets.token_hex(12)}", f"msg_{secrets.token_hex(12)}"
        self._created = int(time.time())

    def whole(self) -> dict[str, Any]:
        """The finished response."""
        cut = self._reply.cut
        words = len(self._reply.tokens)
        return {
            **self._begun("incomplete" if cut else "completed", [self._message("completed")]),
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "usage": {
                "input_tokens": 0,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": words,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": words,
            },
        }

    def _begun(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": self._model,
            "output": output,
            "parallel_tool_calls": False,
            "store": False,
            "temperature": None,
            "tool_choice": "none",
            "tools": [],
            "top_p": None,
        }

    def _message(self, status: str) -> dict[str, Any]:
        return {
            "type": "message",
            "id": self._message_id,
            "status": status,
            "role": "assistant",
            "content": [self._part(self._reply.text)] if status == "completed" else [],
        }

    def _part(self, text: str) -> dict[str, Any]:
        logprobs = self._logprobs if text else []
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}

    def events(self) -> Iterator[str]:
        """Server-sent events, word by word."""
        for number, (name, members) in enumerate(self._steps()):
            event = {"type": f"response.{name}", "sequence_number": number, **members}
            yield f"event: response.{name}\ndata: {json.dumps(event)}\n\n"

    def _steps(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for name in ("created", "in_progress"):
            yield name, {"response": self._begun("in_progress", [])}
        item = {"output_index": 0}
        yield "output_item.added", {**item, "item": self._message("in_progress")}
        part = {**item, "item_id": self._message_id, "content_index": 0}
        yield "content_part.added", {**part, "part": self._part("")}
        for index, token in enumerate(self._reply.tokens):
            spoken = self._logprobs[index : index + 1]
            yield "output_text.delta", {**part, "delta": token.text, "logprobs": spoken}
        text = self._reply.text
        yield "output_text.done", {**part, "text": text, "logprobs": self._logprobs}
        yield "content_part.done", {**part, "part": self._part(text)}
        yield "output_item.done", {**item, "item": self._message("completed")}
        yield "incomplete" if self._reply.cut else "completed", {"response": self.whole()}
