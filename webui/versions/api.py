"""The administrator's API: models, archives, jobs, the audit log and the canary."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from webui.administrator import auth
from webui.administrator.audit import Audit
from webui.captions.canary import Canary, Setting
from webui.torchserve.management import Known
from webui.versions.archives import Store, check_name, unwritable
from webui.versions.catalogue import Catalogue
from webui.versions.deployment import Deployment
from webui.versions.jobs import Job, Jobs
from webui.versions.lost import Lost
from webui.web import bodies
from webui.web.extensions import csrf, service
from webui.web.names import RULE, is_name
from webui.web.problem import ServiceError
from webui.web.settings import MEBIBYTE, Settings
from webui.web.state import Note, State

FIELD = "archive"
FORM_BYTES = 128 * 1024  # what a form may hold beside its file
MAX_WORKERS = 64
MAX_BATCH = 1024
MAX_DELAY_MS = 60_000
MAX_NOTE = 2000  # characters
MAX_TAGS = 8  # of a version

bp = Blueprint("models", __name__, url_prefix="/api")

# Every change by cookie is checked by `auth.required`, which a bearer token does not need.
csrf.exempt(bp)
bp.before_request(auth.required)


@bp.before_request
def check_names() -> None:
    """Refuse an address with a name that no model and no version has: 404."""
    given = request.view_args or {}
    for name in filter(None, (given.get("name"), given.get("version"))):
        if not is_name(name):
            raise ServiceError(
                f"There is no model or version {name[:100]!r}: names are {RULE}. See the list of "
                "versions.",
                code=404,
                type="NoSuchVersion",
            )


# --- Models ---


@bp.get("/models")
def list_models() -> Response:
    """Every model with all its versions, and what of them could not be kept or brought back."""
    models, lost = service(Catalogue).models(), service(Lost).everywhere()
    return jsonify(models=models, lost=lost, unsaved=service(State).problem)


@bp.post("/models")
def register() -> tuple[Response, int]:
    """Register an archive of the model store; answers the job that does it."""
    body = bodies.read("archive", "workers", "batch_size", "max_batch_delay")
    archive = bodies.text(body, "archive")
    check_name(archive)
    workers = bodies.whole(body, "workers", 0, MAX_WORKERS)
    job = service(Deployment).register(
        auth.actor(),
        archive,
        1 if workers is None else workers,
        bodies.whole(body, "batch_size", 1, MAX_BATCH),
        bodies.whole(body, "max_batch_delay", 0, MAX_DELAY_MS),
    )
    return _accepted(job)


@bp.get("/models/<name>/<version>")
def show_version(name: str, version: str) -> Response:
    """One version."""
    return jsonify(service(Catalogue).version(name, version))


@bp.put("/models/<name>/<version>")
def change(name: str, version: str) -> Response | tuple[Response, int]:
    """Change the number of workers, or make a version the default."""
    body = bodies.read("workers", "default")
    if len(body) != 1:
        raise bodies.BadBody('Expected {"workers": 2} or {"default": true}, one at a time.')
    if "workers" in body:
        return _scale(name, version, body)
    if body["default"] is not True:
        raise bodies.BadBody(
            "Expected true for default. To unset it, make another version the default."
        )
    return set_default(name, version)


@bp.put("/models/<name>/<version>/workers")
def scale(name: str, version: str) -> tuple[Response, int]:
    """Change the number of workers; answers the job that does it."""
    return _scale(name, version, bodies.read("workers"))


@bp.put("/models/<name>/<version>/note")
def annotate(name: str, version: str) -> Response:
    """Write a note about a version, and its tags; answers the version."""
    body = bodies.read("note", "tags")
    note, tags = body.get("note", ""), body.get("tags", [])
    if not isinstance(note, str) or len(note) > MAX_NOTE:
        raise bodies.BadBody(f"Expected a text of at most {MAX_NOTE} characters for note.")
    right = isinstance(tags, list) and all(isinstance(t, str) and 0 < len(t) <= 30 for t in tags)
    if not right or len(tags) > MAX_TAGS:
        raise bodies.BadBody(
            f"Expected a list of at most {MAX_TAGS} texts of 1 to 30 characters for tags."
        )
    service(Deployment).annotate(auth.actor(), name, version, Note(note, list(dict.fromkeys(tags))))
    return jsonify(service(Catalogue).version(name, version))


@bp.put("/models/<name>/<version>/default")
def set_default(name: str, version: str) -> Response:
    """Make a version the default; answers the model."""
    service(Deployment).set_default(auth.actor(), name, version)
    return jsonify(service(Catalogue).model(name))


@bp.post("/models/<name>/rollback")
def roll_back(name: str) -> Response:
    """Make the previous default the default again; answers the model."""
    service(Deployment).roll_back(auth.actor(), name)
    return jsonify(service(Catalogue).model(name))


@bp.delete("/models/<name>/<version>")
def unregister(name: str, version: str) -> tuple[str, int]:
    """Unregister a version that is not the default."""
    service(Deployment).unregister(auth.actor(), name, version)
    return "", 204


# --- Jobs, archives, audit ---


@bp.get("/jobs")
def list_jobs() -> Response:
    """The jobs of all pages, the newest first."""
    return jsonify(jobs=[job.to_json() for job in service(Jobs).all()])


@bp.get("/jobs/<identifier>")
def show_job(identifier: str) -> Response:
    """One job."""
    job = service(Jobs).get(identifier)
    if job is None:
        raise ServiceError(
            "There is no such job. Jobs are forgotten when the page restarts; the audit log keeps "
            "their outcomes.",
            code=404,
            type="NoSuchJob",
        )
    return jsonify(job.to_json())


@bp.get("/archives")
def list_archives() -> Response:
    """What lies in the model store, and under which versions it is registered."""
    return jsonify(archives=service(Catalogue).archives())


@bp.post("/archives")
def upload() -> tuple[Response, int]:
    """Add an archive to the model store; the multipart field `archive`."""
    request.max_content_length = service(Settings).max_archive_bytes + FORM_BYTES
    store, audit = service(Store), service(Audit)
    with store.part() as part:
        name = _receive(part)
        with audit.recorded(auth.actor(), "upload") as done:
            archive = store.accept(part, name)
            done(
                f"{name} ({archive.model} {archive.version}, "
                f"{archive.size_bytes / MEBIBYTE:.1f} MB) is in the model store."
            )
    return jsonify({**archive.to_json(), "registered": []}), 201


@bp.delete("/archives/<archive>")
def delete_archive(archive: str) -> tuple[str, int]:
    """Remove an archive that is not registered from the model store."""
    check_name(archive)
    service(Deployment).delete_archive(auth.actor(), archive)
    return "", 204


@bp.get("/audit")
def show_audit() -> Response:
    """The newest entries of the audit log, the newest first."""
    return jsonify(audit=[asdict(entry) for entry in service(Audit).recent()])


# --- Canary ---


@bp.get("/canary")
def show_canary() -> Response:
    """The canary, and the two versions side by side."""
    canary = service(Canary)
    setting = canary.setting
    return jsonify(
        model=service(Known).model,
        version=setting.version if setting else None,
        share=setting.share if setting else 0,
        since=canary.since,
        compared=canary.compared(),
    )


@bp.put("/canary")
def set_canary() -> Response:
    """Send a share of the captions that request no version to another one."""
    body = bodies.read("version", "share")
    version, share = bodies.text(body, "version"), bodies.share(body, "share")
    service(Deployment).set_canary(auth.actor(), Setting(version, share))
    return show_canary()


@bp.delete("/canary")
def stop_canary() -> Response:
    """Send every caption to the default again."""
    service(Deployment).set_canary(auth.actor(), None)
    return show_canary()


# --- Reading requests, answering jobs ---


def _scale(name: str, version: str, body: dict[str, Any]) -> tuple[Response, int]:
    workers = bodies.whole(body, "workers", 0, MAX_WORKERS)
    if workers is None:
        raise bodies.BadBody('Expected a number of workers, such as {"workers": 2}, got none.')
    return _accepted(service(Deployment).scale(auth.actor(), name, version, workers))


def _receive(part: Any) -> str:
    """Stream the uploaded file into `part`; its name. Raises ServiceError."""
    streams = iter([part])

    def open_upload() -> Any:
        stream = next(streams, None)
        if stream is None:
            raise bodies.BadBody(f"Expected one file, in the field '{FIELD}', got several.")
        return stream

    request.open_upload = open_upload  # type: ignore[attr-defined]
    try:
        files = request.files.getlist(FIELD)
    except RequestEntityTooLarge as error:
        raise ServiceError(
            f"Expected an archive of at most {service(Settings).max_archive_mb:g} MB, got a larger "
            "one. Copy it into the model store by other means, or raise CAPTIONIZE_MAX_ARCHIVE_MB.",
            code=413,
            type="ArchiveTooLarge",
        ) from error
    except OSError as error:
        raise unwritable(error) from error
    if len(files) != 1 or not files[0].filename:
        raise bodies.BadBody(
            f"Expected one archive in the multipart/form-data field '{FIELD}', got "
            f"{len(files) or 'none'}. Choose a .mar file and send it again."
        )
    check_name(files[0].filename)
    return files[0].filename


def _accepted(job: Job) -> tuple[Response, int]:
    response = jsonify(job.to_json())
    response.headers["Location"] = f"/api/jobs/{job.id}"
    return response, 202
