"""The API's specification, and the page that shows it and tries it out."""

from __future__ import annotations

import json

from flask import Blueprint, Response, jsonify, render_template, request

from webui.docs.specification import specification

bp = Blueprint("docs", __name__, url_prefix="/api")

# The first caption in three languages; {} is the address of this service.
QUICK_START = {
    "curl": "curl -F image=@photo.jpg {}api/captions",
    "Python": """\
import requests

url = "{}api/captions"
with open("photo.jpg", "rb") as picture:
    answer = requests.post(url, files={{"image": picture}}, timeout=30)
answer.raise_for_status()
print(answer.json()["caption"])""",
    "JavaScript": """\
import {{ openAsBlob }} from "node:fs";

const url = "{}api/captions";
const body = new FormData();
body.append("image", await openAsBlob("photo.jpg"));
const answer = await fetch(url, {{ method: "POST", body }});
if (!answer.ok) throw new Error((await answer.json()).message);
console.log((await answer.json()).caption);""",
}


@bp.get("/openapi.json")
def openapi() -> Response:
    """The specification, for programs."""
    return jsonify(specification())


@bp.get("/docs")
def show() -> str:
    """The specification, for people."""
    answers = specification()["paths"]["/api/captions"]["post"]["responses"]
    example = answers["200"]["content"]["application/json"]["example"]
    return render_template(
        "docs.html",
        quick_start={name: text.format(request.url_root) for name, text in QUICK_START.items()},
        answer=json.dumps(example, indent=2),
    )
