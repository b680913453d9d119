"""The packages: pinned and hashed, chosen for an extra, and what bandit says of our own code."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINS = [Requirement(line.removesuffix(" \\")) for line in LINES if re.match("[a-z]", line)]
UNHASHED = {"torch", "torchvision"}
EXTRAS = ["", *PROJECT["optional-dependencies"]]


def requirements(extra: str) -> list[Requirement]:
    """What `make` asks for: of serving, and of an extra and those that it includes."""
    found = [Requirement(line) for line in PROJECT["dependencies"]]
    for line in PROJECT["optional-dependencies"].get(extra, []):
        needed = Requirement(line)
        if needed.name == PROJECT["name"]:
            found += [more for name in needed.extras for more in requirements(name)]
        else:
            found.append(needed)
    return found


def script(name: str) -> str:
    """A program that the Makefile hands to Python."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return re.findall(rf"^define {name}\n(.*?)^endef", makefile, re.DOTALL | re.MULTILINE)[0]


def test_every_pin_has_hashes_and_nothing_else_stands_there() -> None:
    text = "".join(f"{line}\n" for line in LINES if re.match("[a-z ]", line))
    pin = r"[a-z0-9-]+==\S+( ; [^\\\n]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n    # via .+\n"
    assert re.fullmatch(f"({pin})+", text)
    names = [pin.name for pin in PINS]
    assert names == sorted(set(names))
    assert not UNHASHED & set(names)


@pytest.mark.parametrize("extra", EXTRAS)
def test_pins_meet_what_is_declared(extra: str) -> None:
    pinned = {pin.name: next(iter(pin.specifier)).version for pin in PINS}
    for needed in requirements(extra):
        name = canonicalize_name(needed.name)
        if name in UNHASHED:
            assert re.fullmatch(r"==[\d.]+", str(needed.specifier)), "pinned in pyproject.toml"
        else:
            assert pinned[name] in needed.specifier


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_environment_gets_all_it_needs_with_hashes(extra: str) -> None:
    wanted = [str(needed) for needed in requirements(extra)]
    command = [sys.executable, "-c", script("HASHED"), *wanted]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    chosen = set(re.findall("^([a-z0-9-]+)==", done.stdout, re.MULTILINE))
    assert done.stdout.count("--hash=sha256:") > len(chosen)
    for name in [*chosen, "torch"]:
        missing = set(_needed_here(name)) - chosen - UNHASHED - {"pip"}
        assert not missing, name


def _needed_here(name: str) -> list[str]:
    """What an installed package needs here, without its own extras; nothing where it is not."""
    try:
        lines = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    here = {**default_environment(), "extra": ""}
    needed = [Requirement(line) for line in lines]
    return [
        canonicalize_name(one.name) for one in needed if not one.marker or one.marker.evaluate(here)
    ]


def test_bandit_finds_nothing_that_is_not_explained() -> None:
    code = ["captionize.py", "handler", "training", "webui", "benchmarks"]
    command = [sys.executable, "-m", "bandit", "-q", "-c", "pyproject.toml", "-r", *code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_torchserves_jar_is_what_security_md_says_it_is() -> None:
    spec = importlib.util.find_spec("ts")
    assert spec
    assert spec.origin
    with zipfile.ZipFile(Path(spec.origin).parent / "frontend" / "model-server.jar") as jar:
        names = jar.namelist()
        versions = jar.read("META-INF/io.netty.versions.properties").decode()
        own = b"".join(jar.read(name) for name in names if name.startswith("org/pytorch/"))
        grpc = jar.read("io/grpc/internal/GrpcUtil.class")
    table = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    netty = set(re.findall(r"netty-codec-http\.version=([\d.]+)\.Final", versions))
    assert netty == set(re.findall(r"^\| Netty ([\d.]+)", table, re.MULTILINE))
    assert re.findall(rb"1\.\d+\.\d+", grpc)[0].decode() in table
    assert not [name for name in names if name.startswith("com/fasterxml/")]
    unused = (
        rb"Http2|HttpContentDecompressor|com/google/common/io|compressors/pack200|archivers/dump"
        rb"|groovy/|org/testng|org/junit|org/apache/tools"
    )
    assert b"HttpPostRequestDecoder" in own, "the classes can be searched"
    assert not re.findall(unused, own)
