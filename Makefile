# The commands of Captionize; `make` alone lists them. ARGS passes options to the command behind a target
# (make train ARGS="--epochs 5"), and PYTHON names another Python.
#
# TORCH_INDEX: on Linux, PyPI's PyTorch brings several GB of CUDA libraries. Without a GPU, set this
# to the CPU wheel index given at pytorch.org/get-started.

VENV := .venv
PY := $(VENV)/bin/python
# Whether a Python is one of those in pyproject.toml's requires-python, and whether it can make an
# environment, too: Debian and Ubuntu keep that in a package of its own.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
USABLE := import ensurepip, venv; $(SUPPORTED)
# The first that does; a name alone proves nothing, for pyenv has shims of versions that are off.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	"$$name" -c '$(USABLE)' 2>/dev/null && echo "$$name" && break; done)
TORCH_INDEX ?=
DEVICE ?= cpu
IMAGE ?= captionize:$(DEVICE)
ARGS ?=
INSTALL := $(PY) -m pip install --disable-pip-version-check
FROM_INDEX := $(INSTALL) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
# Three processes on two cores, for many tests wait; tests/conftest.py says which stay together.
TOGETHER := --numprocesses 3

# The extras of pyproject.toml that an environment has besides what serving needs.
EXTRAS_serve :=
EXTRAS_train := train
EXTRAS_bench := train bench
EXTRAS_dev := train adopt batch bench fleet mcp tracing audit dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: serve password test test-all torture train evaluate export bench image lint audit sbom constraints format help
.PRECIOUS: $(VENV)/.installed-%

serve: $(VENV)/.installed-serve ## Start TorchServe and the page, and print the address
	@exec $(PY) -m webui.serve $(ARGS)

password: $(VENV)/.installed-serve ## Ask for the administrator's password and print its hash
	@exec $(PY) -m webui.admin hash-password

test: $(VENV)/.installed-dev ## Run the tests, in a real browser and a real TorchServe too
	@$(PY) -m tests.e2e.browser
	@exec $(PY) -m pytest $(TOGETHER) -m "not slow" $(ARGS)

test-all: $(VENV)/.installed-dev ## Run every test, the slowest proofs too
	@$(PY) -m tests.e2e.browser
	@exec $(PY) -m pytest $(TOGETHER) $(ARGS)

torture: $(VENV)/.installed-dev ## Try to break a running service (ARGS="--minutes 30": for longer)
	@exec $(PY) -m tests.torture $(ARGS)

train: $(VENV)/.installed-train ## Train a captioner (ARGS="--help": the options)
	@exec $(PY) -m training.train $(ARGS)

evaluate: $(VENV)/.installed-train ## Score a captioner (ARGS="--help": the options)
	@exec $(PY) -m training.evaluate $(ARGS)

export: $(VENV)/.installed-train ## Export a checkpoint to TorchScript (ARGS="--help": the options)
	@exec $(PY) -m training.export $(ARGS)

bench: $(VENV)/.installed-bench ## Measure serving, compared with other servers (ARGS="--help": the options)
	@exec $(PY) -m benchmarks.serving $(ARGS)

image: ## Build the container image (DEVICE=cpu or cuda) with Docker, Podman or Buildah
	@if docker info >/dev/null 2>&1; then set -- docker build; \
	elif command -v podman >/dev/null; then set -- podman build --format docker; \
	elif command -v buildah >/dev/null; then \
		set -- buildah --storage-driver vfs build --isolation chroot --format docker; \
	else echo "No Docker, Podman or Buildah here. On Debian or Ubuntu: sudo apt install buildah" >&2; \
		exit 1; fi; \
	set -x; "$$@" --build-arg DEVICE=$(DEVICE) --build-arg TORCH_INDEX=$(TORCH_INDEX) \
		--tag $(IMAGE) $(ARGS) .

lint: $(VENV)/.installed-dev ## Check style and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

# --strict: pip-audit finds nothing about a package that it cannot ask about, and would be content. A
# CPU build's "+cpu" is not in the list, so torch is named without it.
audit: $(VENV)/.installed-dev ## Ask PyPI about known vulnerabilities of all that is pinned
	@{ sed -n 's/^\([a-z][^ ]*==[^ ]*\).*/\1/p' constraints.txt; $(PY) -c "$$REQUIREMENTS" train \
		| grep -E '^torch(vision)?=='; } >$(VENV)/audited.txt
	@exec $(PY) -m pip_audit --strict --disable-pip --no-deps --progress-spinner off \
		-r $(VENV)/audited.txt $(ARGS)

# The tool has an environment of its own, which is not in the list.
sbom: $(VENV)/.installed-serve ## List what is installed in .venv/sbom.json (CycloneDX)
	@[ -x $(VENV)/sbom/bin/cyclonedx-py ] || { $(PY) -m venv $(VENV)/sbom \
		&& $(PY) -c "$$HASHED" cyclonedx-bom >$(VENV)/requirements-sbom.txt \
		&& $(VENV)/sbom/bin/python -m pip install --disable-pip-version-check --quiet \
			--no-deps --require-hashes -r $(VENV)/requirements-sbom.txt; }
	@exec $(VENV)/sbom/bin/cyclonedx-py environment --output-reproducible \
		--output-file $(VENV)/sbom.json $(ARGS) $(PY)

# Not from the environment's mark, which a package that is new in pyproject.toml has yet to reach.
constraints: ## Renew the hashes in constraints.txt (ARGS=--upgrade: to the newest versions)
	@uv=$$(command -v uv) || uv="$(PY) -m uv"; exec $$uv pip compile --quiet --no-config \
		--universal --fork-strategy fewest --python-version 3.11 --all-extras --generate-hashes \
		--annotation-style line --custom-compile-command "make constraints" --output-file constraints.txt \
		--no-emit-package pip --no-emit-package torch --no-emit-package torchvision \
		$(ARGS) pyproject.toml

format: $(VENV)/.installed-dev ## Format the code and fix what a machine can fix
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

help: ## List these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-11s %s\n' "$$name" "$$text"; done

# An interrupted installation can leave half a package that pip takes for a whole one, so an
# environment that bears the mark of an unfinished one is rebuilt. pip wants hashes for all that it
# fetches or for nothing: PyTorch, whose files differ by index, comes first and without what it needs,
# then all that is pinned, and last what only another index's PyTorch needs, which is mostly nothing.
$(VENV)/.installed-%: pyproject.toml constraints.txt
	@[ ! -e $(VENV)/.unfinished ] && $(PY) -c '$(SUPPORTED)' 2>/dev/null || rm -rf $(VENV)
	@mkdir -p $(VENV) && touch $(VENV)/.unfinished
	@[ -x $(PY) ] || python="$(PYTHON)" sh -c "$$NEW_VENV"
	@echo "Installing what Captionize needs into $(VENV); the first time this takes some minutes."
	@[ -n "$(TORCH_INDEX)" ] || command -v nvidia-smi >/dev/null || \
		echo "No GPU here? TORCH_INDEX, explained at the top of the Makefile, saves several GB."
	@$(PY) -c "$$REQUIREMENTS" $(EXTRAS_$*) | grep -E '^torch(vision)?==' >$(VENV)/pytorch-$*.txt
	@$(FROM_INDEX) --no-deps -r $(VENV)/pytorch-$*.txt
	@$(PY) -c "$$HASHED" $$($(PY) -c "$$REQUIREMENTS" $(EXTRAS_$*)) >$(VENV)/requirements-$*.txt
	@$(INSTALL) --no-deps --require-hashes -r $(VENV)/requirements-$*.txt
	@$(FROM_INDEX) --quiet -r $(VENV)/pytorch-$*.txt
	@[ ! -e captionize.py ] || $(INSTALL) --quiet --no-deps --no-build-isolation --editable .
	@rm $(VENV)/.unfinished
	@touch $@

# Where no Python was named and none will do, uv finds or fetches one that requires-python allows.
define NEW_VENV
if [ -n "$$python" ] && "$$python" -c '$(USABLE)' 2>/dev/null; then
	exec "$$python" -m venv $(VENV)
elif [ -z "$$python" ] && command -v uv >/dev/null; then
	exec uv venv --seed --allow-existing $(VENV)
fi
python="$${python:-python3}"
if "$$python" -c '$(SUPPORTED)' 2>/dev/null; then
	"$$python" -c 'import sys; print("The venv module of Python {0}.{1} is missing. On Debian or" \
		" Ubuntu: sudo apt install python{0}.{1}-venv".format(*sys.version_info))'
else
	found=$$("$$python" --version 2>&1) || found="no Python"
	echo "Captionize needs Python 3.11, 3.12 or 3.13 and found $$found."
	echo "Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"
	echo "Or install uv: where make finds no Python, it has uv fetch one."
fi >&2
exit 1
endef
export NEW_VENV

# What the packages need. They themselves run from here, and the command captionize with them.
define REQUIREMENTS
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
lists = [project["optional-dependencies"][extra] for extra in sys.argv[1:]]
names = [name for names in [project["dependencies"], *lists] for name in names]
print(*(name for name in names if not name.startswith(project["name"] + "[")), sep="\n")
endef
export REQUIREMENTS

# The part of constraints.txt that these requirements, the PyTorch that is installed and what either
# needs make up. pip would not take hashes from constraints: with them, it wants every version pinned.
define HASHED
import importlib.metadata, re, sys
requirements = sys.argv[1:]
if any(line.startswith("torch==") for line in requirements):
	requirements += importlib.metadata.requires("torch")
chosen = {re.sub("[-_.]+", "-", re.match(r"[-.\w]+", line)[0]).lower() for line in requirements}
pins = re.findall(r"^([^# ]\S*?)==(.*?)# via ([^\n]*)", open("constraints.txt").read(), re.M | re.S)
size = 0
while len(chosen) > size:
	size = len(chosen)
	chosen |= {name for name, _, via in pins if (chosen - {"torch"}).intersection(via.split(", "))}
print(*(f"{name}=={rest}" for name, rest, _ in pins if name in chosen), sep="\n")
endef
export HASHED
