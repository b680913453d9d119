"""An environment for the peers: their packages, beside those of the project."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from benchmarks.services import ROOT, BenchmarkError

FOLDER = ROOT / ".venv-peers"
PACKAGES = (
    "geventhttpclient==2.6.1",
    "litserve==0.2.19",
    "python-multipart==0.0.34",
    "transformers==5.23.0",
)


def python() -> Path:
    """The interpreter of the peers' environment, which is made when it is not there.

    It sees the project's packages (PyTorch above all) where they are, so that they are not
    installed twice.

    Raises:
        BenchmarkError: the packages cannot be installed.
    """
    interpreter = FOLDER / "bin" / "python"
    finished = FOLDER / ".installed"
    wanted = "\n".join((sys.prefix, *PACKAGES))
    if finished.exists() and finished.read_text(encoding="utf-8") == wanted:
        return interpreter
    print(f"Installing the peers into {FOLDER.name}.", file=sys.stderr)
    venv.create(FOLDER, with_pip=True, clear=True)
    (packages,) = (FOLDER / "lib").glob("python*/site-packages")
    shared = sysconfig.get_path("purelib")
    (packages / "captionize.pth").write_text(f"{shared}\n", encoding="utf-8")
    command = [str(interpreter), "-m", "pip", "install", "--quiet", *PACKAGES]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BenchmarkError(f"The peers cannot be installed: {result.stderr.strip()[-1000:]}")
    finished.write_text(wanted, encoding="utf-8")
    return interpreter
