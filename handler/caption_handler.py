"""TorchServe's entry point: set up once, then decode, predict and encode every batch."""

import json
import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from ts.metrics.dimension import Dimension
from ts.torch_handler.base_handler import BaseHandler

from handler import tracing
from handler.answer import build_answers
from handler.captioner import Captioner, choose_device
from handler.decode import ACCEPTED, decode
from handler.engines import Search
from handler.errors import CaptioningFailed, RequestError
from handler.options import CHOICES, MAX_BEAM_SIZE, MAX_LENGTH, read_options
from handler.request import Job, asks_for, picture_bytes, request_id
from handler.settings import Settings
from handler.text import words_file

logger = logging.getLogger(__name__)


class CaptionHandler(BaseHandler):  # type: ignore[misc]  # ts has no types
    """Captions dynamic batches in which no request can fail another.

    TorchServe requires exactly one class in this module, so the others have files of their own. An
    exception that leaves `handle` would fail the whole batch, so none does.
    """

    def initialize(self, context: Any) -> None:
        """Load the archive and warm the model up; the worker is READY once this returns.

        Raises:
            RuntimeError: the GPU that TorchServe assigned does not exist.
            ValueError: the settings are invalid, or the archive's files do not belong together.
        """
        folder = Path(context.system_properties["model_dir"])
        manifest = context.manifest["model"]
        self.settings = Settings.from_config(context.model_yaml_config)
        card = json.loads((folder / "model_card.json").read_text(encoding="utf-8"))
        self.captioner = Captioner(
            folder / manifest["serializedFile"],
            words_file(folder),
            choose_device(context.system_properties.get("gpu_id")),
            self.settings.engine,
            self.settings.threads,
            card,
            self.settings.precision,
        )
        # Beside ONNX Runtime, which has threads of its own, PyTorch only squeezes pictures, each in
        # a thread of the pool: more would take the cores from one another and from the engine.
        beside_onnx = self.captioner.engine.name == "onnxruntime"
        threads = 1 if beside_onnx else self.settings.threads or torch.get_num_threads()
        torch.set_num_threads(threads)
        self.name = {"name": context.model_name, "version": str(manifest["modelVersion"])}
        self.description = {**card, **self._describe()}
        self.pool = ThreadPoolExecutor(self.settings.decode_threads, "decode")
        self.trace = tracing.start()
        self.captioner.warm_up(self.settings.warm_up, self.settings.options)
        self.initialized = True
        engine, device = self.captioner.engine, self.captioner.device
        logger.info("%s is ready on %s, engine %s", self.name, device, engine.name)
        logger.info("Its precision is %s: %s", engine.precision, engine.reason)

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """Answer a batch: JSON in every slot, each with its own status."""
        started = time.perf_counter()
        headers = [_headers(context, index) for index in range(len(data))]
        trace = self.trace(headers)
        items = list(self.pool.map(trace.each("decode", self.decode), data, headers))
        with trace.step("model"):
            outcomes = self.predict(items)
        with trace.step("encode"):
            answers = [self.encode(one, index, context) for index, one in enumerate(outcomes)]
        trace.end(outcomes)
        ids = " ".join(map(request_id, headers))
        milliseconds = 1e3 * (time.perf_counter() - started)
        logger.info("Answered %d in %.0f ms, requests %s", len(data), milliseconds, ids)
        self._count(len(data), context)
        return answers

    def decode(
        self, fields: Mapping[str, object], headers: Mapping[str, str]
    ) -> Job | dict[str, Any] | RequestError:
        """Read one request: a job, or its immediate answer (the description, an error)."""
        if asks_for("describe", headers):
            return self.description
        try:
            options = read_options(fields, headers, self.settings.options)
            captioner, limits = self.captioner, self.settings.limits
            data = picture_bytes(fields)
            picture = decode(data, captioner.image_size, limits, captioner.fit)
        except RequestError as error:
            return error
        except Exception:  # such as out of memory: it fails this one request only
            logger.exception("Request %s could not be read", request_id(headers))
            return CaptioningFailed()
        return Job(picture, options, asks_for("explain", headers), request_id(headers))

    def predict(
        self, items: list[Job | dict[str, Any] | RequestError]
    ) -> list[dict[str, Any] | RequestError]:
        """Answer the jobs, those with equal options in one call; other answers pass through."""
        groups: dict[tuple[int, int, bool], list[Job]] = defaultdict(list)
        for item in items:
            if isinstance(item, Job):
                groups[item.group].append(item)
        answers = {group: iter(self._caption(jobs)) for group, jobs in groups.items()}
        return [next(answers[item.group]) if isinstance(item, Job) else item for item in items]

    def encode(self, outcome: dict[str, Any] | RequestError, index: int, context: Any) -> bytes:
        """Write the JSON of slot `index`, and set its status."""
        context.set_response_content_type(index, "application/json")
        try:
            if not isinstance(outcome, RequestError):
                return _json(outcome)
        except ValueError:  # NaN or infinity, which JSON cannot represent
            logger.exception(
                "Numbers that are not finite: request %s", request_id(_headers(context, index))
            )
            outcome = CaptioningFailed()
        context.set_response_status(outcome.code, outcome.phrase, index)
        return _json(outcome.to_json())

    def _caption(self, jobs: list[Job]) -> list[dict[str, Any] | RequestError]:
        """Caption the pictures of one group; if it fails, the other groups do not."""
        try:
            images = torch.stack([job.picture.pixels for job in jobs])  # (B, 3, S, S)
            beam_size, max_length, with_attention = jobs[0].group
            wanted = max(job.options.wanted for job in jobs)
            search = Search(beam_size, max_length, wanted, with_attention)
            beams = self.captioner(images, search)
            return [*build_answers(jobs, beams, self.captioner, self.name)]
        except Exception:
            logger.exception("The captioner failed on requests %s", [job.id for job in jobs])
            return [CaptioningFailed() for _ in jobs]

    def _count(self, requests: int, context: Any) -> None:
        """Count a batch and its requests, which together give the mean size of a batch."""
        dimensions = [
            Dimension("ModelName", self.name["name"]),
            Dimension("ModelVersion", self.name["version"]),
            Dimension("Level", "Model"),
        ]
        for metric, count in (("CaptionBatches", 1), ("CaptionPictures", requests)):
            context.metrics.add_counter(metric, count, dimensions=dimensions)

    def _describe(self) -> dict[str, Any]:
        """What `GET /models/captioner?customized=true` adds to the model card."""
        captioner, options, limits = self.captioner, self.settings.options, self.settings.limits
        return {
            "image_size": captioner.image_size,
            "grid": {"rows": captioner.grid_rows, "columns": captioner.grid_columns},
            "vocabulary_size": len(captioner.vocabulary),
            "calibrated": captioner.calibrated,
            "device": str(captioner.device),
            "engine": captioner.engine.name,
            "precision": captioner.engine.precision,
            "precision_reason": captioner.engine.reason,
            "formats": list(ACCEPTED),
            "limits": asdict(limits),
            "options": {
                "beam_size": {"default": options.beam_size, "min": 1, "max": MAX_BEAM_SIZE},
                "num_captions": {"default": options.num_captions, "min": 1, "max": MAX_BEAM_SIZE},
                "max_length": {"default": options.max_length, "min": 1, "max": MAX_LENGTH},
                **{
                    name: {"default": getattr(options, name), "accepted": list(accepted)}
                    for name, accepted in CHOICES.items()
                },
            },
        }


def _headers(context: Any, index: int) -> dict[str, str]:
    """Return the headers of one request by lower-case name.

    TorchServe adds what it knows about each form field, as dictionaries: those are not headers.
    """
    headers = context.get_all_request_header(index)
    return {name.lower(): value for name, value in headers.items() if isinstance(value, str)}


def _json(body: Any) -> bytes:
    """Write compact JSON; TorchServe would indent it, with a line for each number of a grid."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
