"""What the launcher starts: read from the environment and config.properties, checked first."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from basics import home
from webui.launcher import models
from webui.torchserve import report
from webui.web.settings import ROOT, TORCHSERVE_LISTENERS, Settings, variable

RESERVED_BYTES = 64 * 2**20  # for logs and keys, beside the unpacked archives
UNPACKED = 2  # an unpacked archive is at most about this many times its size
MAX_SOCKET_PATH = 107  # bytes, the system's limit; the workers' sockets lie in the run folder


class LaunchError(Exception):
    """Why the service cannot start or go on, and what to do: a sentence, or one for each port."""


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
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # nosec B104
        return f"http://{replace(self, host=local).authority}"


@dataclass(frozen=True)
class Plan:
    """What is started, where it listens and where its files are."""

    settings: Settings
    page: Listener
    torchserve: Mapping[str, Listener]  # by TorchServe's configuration key
    config: Path
    vmargs: tuple[str, ...]
    archives: tuple[Path, ...]
    named: tuple[str, ...] = ()  # models that load_models names, beside those that archives name

    @classmethod
    def from_environment(cls) -> Plan:
        """Read the variables, and config.properties for what they leave open.

        Raises LaunchError with the variable's name, what came and what is accepted.
        """
        config = Path(os.environ.get("TS_CONFIG_FILE", ROOT / home.CONFIG)).absolute()
        try:
            settings = Settings.from_environment()
            properties = read_properties(config)
        except ValueError as error:
            raise LaunchError(f"{error}.") from None
        except OSError as error:
            raise LaunchError(
                f"{shown(config)} cannot be read: {error.strerror}. "
                "Set TS_CONFIG_FILE to TorchServe's configuration."
            ) from None
        listed = _configured(properties, "load_models", "").split(",")
        named = [one.strip() for one in listed if one.strip()]
        names = [one.split("=", 1)[-1].strip() for one in named]
        return cls(
            settings=settings,
            page=Listener(variable("port"), settings.host, settings.port),
            torchserve={key: _listener(key, settings, properties) for key in TORCHSERVE_LISTENERS},
            config=config,
            vmargs=tuple(properties.get("vmargs", "").split()),
            archives=tuple(settings.model_store / one for one in names if one.lower() != "all"),
            named=tuple(one.partition("=")[0].strip() for one in named if "=" in one),
        )

    @property
    def model_name(self) -> str:
        """The model that captions."""
        return self.settings.model_name

    @property
    def run_dir(self) -> Path:
        """The folder of everything that is written."""
        return self.settings.run_dir

    @property
    def logs(self) -> Path:
        """The folder of every log."""
        return self.run_dir / "logs"

    @property
    def model_log(self) -> Path:
        """Where TorchServe writes the workers' output."""
        return self.logs / "model_log.log"

    @property
    def scratch(self) -> Path:
        """TorchServe's temporary folder: unpacked archives and the workers' sockets."""
        return self.run_dir / "tmp"

    @property
    def state_dir(self) -> Path:
        """The folder of what must last: what is to be served."""
        return Path(self.settings.state_dir or self.run_dir / "state").absolute()

    @property
    def audit_log(self) -> Path:
        """Who did what to the versions: in the state folder where one was chosen."""
        return self.settings.audit_file or self.logs / "audit.jsonl"

    @property
    def key_file(self) -> Path:
        """Where TorchServe writes its tokens: into its working directory."""
        return self.run_dir / "key_file.json"


def read_properties(path: Path) -> dict[str, str]:
    """The keys and values of a Java properties file (its simple form, as TorchServe reads it)."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in pairs}


def _configured(properties: Mapping[str, str], key: str, default: str) -> str:
    """A value of TorchServe's configuration, in which TS_* variables win over the file."""
    return os.environ.get(f"TS_{key.upper()}") or properties.get(key) or default


def _listener(key: str, settings: Settings, properties: Mapping[str, str]) -> Listener:
    default = TORCHSERVE_LISTENERS[key]
    address = _configured(properties, key, default)
    if key.startswith("grpc"):  # TorchServe keeps the hosts of these two in keys of their own
        host = _configured(properties, key.replace("port", "address"), Settings.host)
        address = f"http://{host}:{address}"
    name = key.replace("address", "port")
    with contextlib.suppress(ValueError):  # a port that is no number, or too large a one
        parts = urlsplit(address)
        if parts.hostname and (port := getattr(settings, name) or parts.port):
            return Listener(variable(name), parts.hostname, port)
    raise LaunchError(
        f"{key}: expected an address such as {default}, got {address!r}. "
        "Correct it in config.properties."
    )


def shown(path: Path) -> str:
    """A path as a person reads it: relative where it lies under the current folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def check(plan: Plan, listeners: Sequence[Listener]) -> None:
    """Raise LaunchError for what would keep the service from starting at these `listeners`."""
    for archive in plan.archives:
        if not archive.is_file():
            raise LaunchError(
                f"The model archive {shown(archive)} is missing. Put it there, or set "
                "CAPTIONIZE_MODEL_STORE to the folder that has it."
            )
        if not zipfile.is_zipfile(archive):
            raise LaunchError(
                f"{shown(archive)} is not a complete model archive. "
                "Get it again, or make it with python -m training.archive."
            )
    state = plan.state_dir / "desired.json"  # what was set on the versions page is served instead
    loaded = models.loaded(plan.named, plan.archives)
    if loaded and plan.model_name not in loaded and not state.exists():
        raise LaunchError(
            f"load_models loads {', '.join(loaded)}, but {plan.model_name} is to caption. Write "
            f"{plan.model_name}={plan.archives[0].name} in load_models, or set "
            f"{variable('model_name')} to the model's name."
        )
    if len(os.fsencode(plan.scratch / ".ts.sock.65535")) > MAX_SOCKET_PATH:
        raise LaunchError(
            f"{plan.run_dir} is too long a path for the run folder. "
            "Set CAPTIONIZE_RUN_DIR to a shorter one."
        )
    _check_ports(listeners)


def _check_ports(listeners: Sequence[Listener]) -> None:
    """Listen at all of them for a moment, as the servers will.

    At all at once, so that the kernel refuses two that are the same as well.
    """
    problems = []
    with contextlib.ExitStack() as stack:
        for one in listeners:
            family = socket.AF_INET6 if ":" in one.host else socket.AF_INET
            try:
                stack.enter_context(socket.create_server((one.host, one.port), family=family))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    problem = f"Port {one.port} is in use. Stop what uses it, or"
                else:
                    problem = f"Port {one.port}: {error.strerror}. Correct the host, or"
                problems.append(f"{problem} set {one.variable} to another port.")
    if problems:
        raise LaunchError("\n".join(problems))


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
            renew(plan)
            _reserve(plan)
        except BlockingIOError:
            raise LaunchError(
                f"Another Captionize runs in {shown(plan.run_dir)}. Stop it, or set "
                "CAPTIONIZE_RUN_DIR to another folder."
            ) from None
        except OSError as error:
            raise LaunchError(
                f"The run folder {shown(plan.run_dir)} cannot be used: {error.strerror}. "
                "Make room and give yourself access, or set CAPTIONIZE_RUN_DIR to another folder."
            ) from None
        yield


def _reserve(plan: Plan) -> None:
    """Have the file system set aside what TorchServe will need, and give it back.

    TorchServe itself only logs that the disk is full, and then waits for a worker in vain.
    """
    needed = RESERVED_BYTES + UNPACKED * sum(path.stat().st_size for path in plan.archives)
    with tempfile.TemporaryFile(dir=plan.scratch) as file:
        os.posix_fallocate(file.fileno(), 0, needed)


def renew(plan: Plan) -> None:
    """Have TorchServe begin without what an earlier one left. Raises OSError."""
    plan.key_file.unlink(missing_ok=True)
    if plan.scratch.exists():
        shutil.rmtree(plan.scratch)
    plan.scratch.mkdir()


def _clear(plan: Plan) -> None:
    """Remove the keys, the report about TorchServe and the temporary files."""
    renew(plan)
    plan.scratch.rmdir()
    plan.key_file.with_name(report.NAME).unlink(missing_ok=True)
