"""What the launcher starts: read from the environment and config.properties, checked first."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
FREE_BYTES = 64 * 2**20  # for logs and keys, beside the unpacked archives
UNPACKED = 2  # an unpacked archive is at most about this many times its size
MAX_SOCKET_PATH = 107  # bytes, the system's limit; the workers' sockets lie in the run folder

# TorchServe's key -> (the variable that changes the port, where it listens by default)
TORCHSERVE_LISTENERS = {
    "inference_address": ("CAPTIONIZE_INFERENCE_PORT", "http://127.0.0.1:8080"),
    "management_address": ("CAPTIONIZE_MANAGEMENT_PORT", "http://127.0.0.1:8081"),
    "metrics_address": ("CAPTIONIZE_METRICS_PORT", "http://127.0.0.1:8082"),
    "grpc_inference_port": ("CAPTIONIZE_GRPC_INFERENCE_PORT", "7070"),
    "grpc_management_port": ("CAPTIONIZE_GRPC_MANAGEMENT_PORT", "7071"),
}


class LaunchError(Exception):
    """Why the service cannot start or go on, in one line that says what to do."""


@dataclass(frozen=True)
class Listener:
    """An address that is listened on, and the variable that changes its port."""

    variable: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port as they stand in an address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Where a client on this machine reaches it."""
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{replace(self, host=local).authority}"


@dataclass(frozen=True)
class Plan:
    """What is started, where it listens and where its files are."""

    page: Listener
    torchserve: Mapping[str, Listener]  # by TorchServe's configuration key
    config: Path
    vmargs: tuple[str, ...]
    model_store: Path
    archives: tuple[Path, ...]
    model_name: str
    workers: int | None  # None: as the configuration file says
    run_dir: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Plan:
        """Read the variables, and config.properties for what they leave open.

        Raises LaunchError with the variable's name, what came and what is accepted.
        """
        config = Path(environ.get("TS_CONFIG_FILE", ROOT / "config.properties")).absolute()
        try:
            properties = read_properties(config)
        except OSError as error:
            raise LaunchError(f"{shown(config)} cannot be read: {error.strerror}.") from None
        host = environ.get("CAPTIONIZE_HOST", "127.0.0.1")
        store = Path(environ.get("CAPTIONIZE_MODEL_STORE", ROOT / "model_store")).absolute()
        models = environ.get("TS_LOAD_MODELS") or properties.get("load_models", "")
        names = [entry.split("=", 1)[-1].strip() for entry in models.split(",")]
        return cls(
            page=Listener("CAPTIONIZE_PORT", host, _port(environ, "CAPTIONIZE_PORT", 8000)),
            torchserve={key: _listener(key, environ, properties) for key in TORCHSERVE_LISTENERS},
            config=config,
            vmargs=tuple(properties.get("vmargs", "").split()),
            model_store=store,
            archives=tuple(store / name for name in names if name and name.lower() != "all"),
            model_name=environ.get("CAPTIONIZE_MODEL_NAME", "captioner"),
            workers=_number(environ, "CAPTIONIZE_WORKERS", None, 1, 64),
            run_dir=Path(environ.get("CAPTIONIZE_RUN_DIR", ROOT / "run")).absolute(),
        )

    @property
    def logs(self) -> Path:
        """The folder of every log."""
        return self.run_dir / "logs"

    @property
    def model_log(self) -> Path:
        """Where TorchServe writes what the workers say."""
        return self.logs / "model_log.log"

    @property
    def scratch(self) -> Path:
        """TorchServe's temporary folder: unpacked archives and the workers' sockets."""
        return self.run_dir / "tmp"

    @property
    def key_file(self) -> Path:
        """Where TorchServe writes its tokens: into its working directory."""
        return self.run_dir / "key_file.json"


def read_properties(path: Path) -> dict[str, str]:
    """The keys and values of a Java properties file (its simple form, as TorchServe reads it)."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in pairs}


def _listener(key: str, environ: Mapping[str, str], properties: Mapping[str, str]) -> Listener:
    variable, default = TORCHSERVE_LISTENERS[key]
    configured = environ.get(f"TS_{key.upper()}") or properties.get(key) or default
    if key.startswith("grpc"):
        address = key.replace("port", "address")
        host = environ.get(f"TS_{address.upper()}") or properties.get(address, "127.0.0.1")
        configured = f"http://{host}:{configured}"
    parts = urlsplit(configured)
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or not port:
        raise LaunchError(
            f"{key}: expected an address such as {default}, got {configured!r}. "
            "Correct it in config.properties."
        )
    return Listener(variable, parts.hostname, _port(environ, variable, port))


def _port(environ: Mapping[str, str], variable: str, default: int) -> int:
    port = _number(environ, variable, default, 1, 65535)
    assert port is not None
    return port


def _number(
    environ: Mapping[str, str], variable: str, default: int | None, low: int, high: int
) -> int | None:
    text = environ.get(variable, "").strip()
    if not text:
        return default
    if not text.isdecimal() or not low <= int(text) <= high:
        raise LaunchError(
            f"{variable}: expected a whole number from {low} to {high}, got {text!r}."
        )
    return int(text)


def shown(path: Path) -> str:
    """A path as a person reads it: relative where it lies under the current folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def check(plan: Plan, listeners: Sequence[Listener]) -> None:
    """Raise LaunchError for what would keep the service from starting at these `listeners`."""
    _check_archives(plan)
    _check_ports(listeners)
    if len(os.fsencode(plan.scratch / ".ts.sock.65535")) > MAX_SOCKET_PATH:
        raise LaunchError(
            f"{plan.run_dir} is too long a path for the run folder. "
            "Set CAPTIONIZE_RUN_DIR to a shorter one."
        )


def _check_archives(plan: Plan) -> None:
    for archive in plan.archives:
        if not archive.is_file():
            raise LaunchError(
                f"The model archive {shown(archive)} is missing. Put it there, or set "
                "CAPTIONIZE_MODEL_STORE to the folder that has it."
            )
        if not zipfile.is_zipfile(archive):
            raise LaunchError(
                f"{shown(archive)} is not a model archive, or not all of it. "
                "Get it again, or make it with python -m training.archive."
            )


def _check_ports(listeners: Sequence[Listener]) -> None:
    taken: dict[int, Listener] = {}
    for listener in listeners:
        other = taken.setdefault(listener.port, listener)
        if other is not listener:
            raise LaunchError(
                f"{other.variable} and {listener.variable} are both {listener.port}. "
                "Give each a port of its own."
            )
    used = [listener for listener in listeners if _in_use(listener)]
    if used:
        ports = ", ".join(str(listener.port) for listener in used)
        variables = ", ".join(listener.variable for listener in used)
        if len(used) == 1:
            raise LaunchError(
                f"Port {ports} is in use. Stop what uses it, or set {variables} to another."
            )
        raise LaunchError(
            f"Ports {ports} are in use. Stop what uses them, or set {variables} to others."
        )


def _in_use(listener: Listener) -> bool:
    """Listen there for a moment, as the server will. Raises LaunchError when that cannot be."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return True
        if error.errno == errno.EACCES:
            problem = (
                f"Port {listener.port} may not be used by this user. "
                f"Set {listener.variable} to one above 1023."
            )
        else:
            problem = f"Nothing can listen at {listener.authority}: {error.strerror}."
        raise LaunchError(problem) from None
    return False


@contextlib.contextmanager
def run_folder(plan: Plan) -> Iterator[None]:
    """Hold the run folder: made, for this user alone, and without what an earlier start left.

    Afterwards its keys and temporary files are removed; the logs stay. The lock is on the folder
    itself, so that no lock file is left behind. Raises LaunchError when another launcher holds it,
    when it cannot be written, or when the disk is full.
    """
    with contextlib.ExitStack() as stack:
        try:
            plan.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = os.open(plan.run_dir, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, folder)
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(folder, 0o700)  # the keys lie in it
            _clear(plan)
            stack.callback(_clear, plan)
            plan.logs.mkdir(exist_ok=True)
            plan.scratch.mkdir()
            _check_space(plan)
        except OSError as error:
            raise LaunchError(_unusable(plan, error)) from None
        yield


def _check_space(plan: Plan) -> None:
    free = shutil.disk_usage(plan.run_dir).free
    needed = FREE_BYTES + UNPACKED * sum(archive.stat().st_size for archive in plan.archives)
    if free < needed:
        raise LaunchError(
            f"No disk space: {shown(plan.run_dir)} has {free // 2**20} MiB free and needs "
            f"{needed // 2**20} MiB. Free some, or set CAPTIONIZE_RUN_DIR to another disk."
        )


def _unusable(plan: Plan, error: OSError) -> str:
    if isinstance(error, BlockingIOError):
        return (
            f"Another Captionize runs in {shown(plan.run_dir)}. Stop it, or set "
            "CAPTIONIZE_RUN_DIR to another folder."
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"No disk space is left for {shown(plan.run_dir)}. Free some, or set "
            "CAPTIONIZE_RUN_DIR to another disk."
        )
    return (
        f"The run folder {shown(plan.run_dir)} cannot be used: {error.strerror}. Set "
        "CAPTIONIZE_RUN_DIR to one that you can write."
    )


def _clear(plan: Plan) -> None:
    """Remove the keys and the temporary files."""
    plan.key_file.unlink(missing_ok=True)
    if plan.scratch.exists():
        shutil.rmtree(plan.scratch)
