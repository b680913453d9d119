"""TorchServe's management API, as seen of the real one; tests/e2e compares the two."""

from __future__ import annotations

import json
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

STARTED = "2026-01-01T00:00:00.000Z"
LOOKS = 2  # at a version until its new workers are READY

Reply = tuple[int, Any]


def write_archive(
    path: Path,
    model: str = "captioner",
    version: str = "2.0",
    code: str = "def handle(data, context): return data and ['{}'] * len(data)\n",
    **files: str,
) -> Path:
    """An archive that TorchServe loads, with this handler and further `files`."""
    manifest = {
        "runtime": "python",
        "model": {"modelName": model, "handler": "simple.py", "modelVersion": version},
        "archiverVersion": "0.12.0",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr("simple.py", code)
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return path


@dataclass
class FakeVersion:
    """One version; `crashes` has its workers die again and again while they start."""

    archive: str
    states: list[str] = field(default_factory=list)
    batch_size: int = 1
    delay: int = 100
    crashes: bool = False
    looks: int = 0
    pids: int = 0

    def workers(self) -> list[dict[str, Any]]:
        self.looks += 1
        if self.crashes:
            self.pids += 1
        elif self.looks > LOOKS:
            self.states = ["READY" if state == "STARTING" else state for state in self.states]
        return [
            {
                "id": str(9000 + i),
                "startTime": STARTED,
                "status": "UNLOADING" if state == "STARTING" else state,
                "memoryUsage": 0,
                "pid": self._pid(i, state),
                "gpu": False,
                "gpuUsage": "N/A",
            }
            for i, state in enumerate(self.states)
        ]

    def _pid(self, number: int, state: str) -> int:
        if state == "STARTING" and not self.crashes:
            return -1
        return 4_000_000 + number + self.pids  # above what Linux gives: no process has it


@dataclass
class FakeModels:
    """Models with versions, over archives in the folder `store`.

    `broken` names archives whose workers crash; `replies` are answered once each, before all else.
    """

    store: Path = Path("nowhere")
    broken: set[str] = field(default_factory=set)
    replies: list[Reply] = field(default_factory=list)
    defaults: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, FakeVersion]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.load("captioner.mar")

    def load(self, *archives: str) -> None:
        """Serve these and nothing else; captioner.mar need not exist, and is 1.0 then."""
        with self.lock:
            self.defaults, self.versions = {}, {}
            for archive in archives:
                if (self.store / archive).is_file():
                    name, version = _label(self.store / archive)
                else:
                    name, version = "captioner", "1.0"
                self.defaults.setdefault(name, version)
                first = FakeVersion(archive, ["READY"], batch_size=8, delay=10)
                self.versions.setdefault(name, {})[version] = first

    @property
    def states(self) -> list[str]:
        return self.versions["captioner"]["1.0"].states

    @states.setter
    def states(self, states: list[str]) -> None:
        self.versions["captioner"]["1.0"].states = states

    def answer(self, method: str, path: str) -> Reply:
        """Status and body for a request to /models…"""
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        names = parts.path.strip("/").split("/")[1:]
        with self.lock:
            if self.replies and method != "GET":
                return self.replies.pop(0)
            if method == "POST":
                return self._register(query)
            if not names:
                return 200, {"models": [{"modelName": n, "modelUrl": "?"} for n in self.defaults]}
            if names[0] not in self.versions:
                return _error(404, "ModelNotFoundException", f"Model not found: {names[0]}")
            return self._about(method, names, query)

    def _about(self, method: str, names: list[str], query: dict[str, str]) -> Reply:
        model, *rest = names
        versions = self.versions[model]
        if rest == ["all"]:
            return 200, [self._describe(model, version) for version in versions]
        version = rest[0] if rest else self.defaults[model]
        if version not in versions:
            message = f"Model version: {version} does not exist for model: {model}"
            return _error(404, "ModelVersionNotFoundException", message)
        if method == "GET":
            return 200, [self._describe(model, version, "customized" in query)]
        if method == "DELETE":
            return self._unregister(model, version)
        if rest[1:] == ["set-default"]:
            self.defaults[model] = version
            return 200, {"status": "Default version successfully updated"}
        return self._scale(versions[version], query)

    def _register(self, query: dict[str, str]) -> Reply:
        url = query["url"]
        if not (self.store / url).is_file():
            return _error(404, "ModelNotFoundException", f"Model not found at: {url}")
        name, version = _label(self.store / url)
        if version in self.versions.get(name, {}):
            message = f"Model version {version} is already registered for model {name}"
            return _error(409, "ConflictStatusException", message)
        self.defaults.setdefault(name, version)
        self.versions.setdefault(name, {})[version] = FakeVersion(
            url,
            batch_size=int(query.get("batch_size", 1)),
            delay=int(query.get("max_batch_delay", 100)),
            crashes=url in self.broken,
        )
        status = f'Model "{name}" Version: {version} registered with 0 initial workers. Use scale'
        return 200, {"status": f"{status} workers API to add workers for the model."}

    def _scale(self, version: FakeVersion, query: dict[str, str]) -> Reply:
        wanted = int(query["min_worker"])
        if int(query["max_worker"]) < wanted:
            message = "max_worker cannot be less than min_worker."
            return _error(400, "BadRequestException", message)
        version.states = (version.states + ["STARTING"] * wanted)[:wanted]
        version.looks = 0
        return 202, {"status": "Processing worker updates..."}

    def _unregister(self, model: str, version: str) -> Reply:
        versions = self.versions[model]
        if version == self.defaults[model] and len(versions) > 1:
            message = f"Cannot remove default version for model {model}"
            return _error(403, "InvalidModelVersionException", message)
        del versions[version]
        if not versions:
            del self.versions[model], self.defaults[model]
        return 200, {"status": f'Model "{model}" unregistered'}

    def _describe(self, model: str, version: str, customized: bool = False) -> dict[str, Any]:
        one = self.versions[model][version]
        metadata = {"customizedMetadata": {"encoder": "drawn", "secret": 1}} if customized else {}
        return {
            "modelName": model,
            "modelVersion": version,
            "modelUrl": one.archive,
            "minWorkers": len(one.states),
            "maxWorkers": len(one.states),
            "batchSize": one.batch_size,
            "maxBatchDelay": one.delay,
            "loadedAtStartup": True,
            "workers": one.workers(),
            "jobQueueStatus": {"remainingCapacity": 64, "pendingRequests": 0},
            **metadata,
        }


def _error(code: int, type_: str, message: str) -> Reply:
    return code, {"code": code, "type": type_, "message": message}


def _label(archive: Path) -> tuple[str, str]:
    with zipfile.ZipFile(archive) as file:
        model = json.loads(file.read("MAR-INF/MANIFEST.json"))["model"]
    return model["modelName"], model["modelVersion"]
