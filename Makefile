# The commands of Captionize; `make` alone lists them. Words for the command behind a target go into
# ARGS (make train ARGS="--epochs 5"), another Python into PYTHON.
#
# TORCH_INDEX: on Linux, PyPI's PyTorch brings several GB of CUDA libraries. Without a GPU, set this
# to the CPU wheel index given at pytorch.org/get-started.

VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= $(firstword $(foreach name,python3.11 python3,$(shell command -v $(name) 2>/dev/null)))
TORCH_INDEX ?=
DEVICE ?= cpu
IMAGE ?= captionize:$(DEVICE)
ARGS ?=

# The extras of pyproject.toml that an environment has beside what serving needs.
EXTRAS_serve :=
EXTRAS_train := train
EXTRAS_bench := train bench
EXTRAS_dev := train bench dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: serve test train evaluate export bench image lint format help
.PRECIOUS: $(VENV)/.installed-%

serve: $(VENV)/.installed-serve ## Start TorchServe and the page, and say where it is
	@exec $(PY) -m webui.serve $(ARGS)

test: $(VENV)/.installed-dev ## Run every test, in a real browser and a real TorchServe too
	@$(PY) -m tests.e2e.browser
	@exec $(PY) -m pytest $(ARGS)

train: $(VENV)/.installed-train ## Train a captioner (ARGS="--help": the options)
	@exec $(PY) -m training.train $(ARGS)

evaluate: $(VENV)/.installed-train ## Score a captioner (ARGS="--help": the options)
	@exec $(PY) -m training.evaluate $(ARGS)

export: $(VENV)/.installed-train ## Export a checkpoint to TorchScript (ARGS="--help": the options)
	@exec $(PY) -m training.export $(ARGS)

bench: $(VENV)/.installed-bench ## Measure serving, beside other servers (ARGS="--help": the options)
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

format: $(VENV)/.installed-dev ## Put the code into its format
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

help: ## List these commands
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-9s %s\n' "$$name" "$$text"; done

# An interrupted installation can leave half a package that pip takes for a whole one, so an
# environment that bears the mark of an unfinished one is made anew.
$(VENV)/.installed-%: pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
		found=$$("$(PYTHON)" --version 2>&1) || found="no Python"; \
		echo "Captionize needs Python 3.11 and found $$found. Install it, or name it:" \
		"make $* PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing." \
		"On Debian or Ubuntu: sudo apt install python3.11-venv" >&2; exit 1; }
	@[ ! -e $(VENV)/.unfinished ] && $(PY) -c '' 2>/dev/null || rm -rf $(VENV)
	@echo "Installing what Captionize needs into $(VENV); the first time this takes some minutes."
	@[ -n "$(TORCH_INDEX)" ] || command -v nvidia-smi >/dev/null || \
		echo "No GPU here? TORCH_INDEX, explained at the top of the Makefile, saves several GB."
	@mkdir -p $(VENV) && touch $(VENV)/.unfinished
	@[ -x $(PY) ] || $(PYTHON) -m venv $(VENV)
	@$(PY) -c "$$REQUIREMENTS" $(EXTRAS_$*) >$(VENV)/requirements-$*.txt
	@$(PY) -m pip install --disable-pip-version-check -c constraints.txt \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r $(VENV)/requirements-$*.txt
	@rm $(VENV)/.unfinished
	@touch $@

# The packages run from here, so that only what they need is installed, not they themselves.
define REQUIREMENTS
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
lists = [project["optional-dependencies"][extra] for extra in sys.argv[1:]]
names = [name for names in [project["dependencies"], *lists] for name in names]
print(*(name for name in names if not name.startswith(project["name"] + "[")), sep="\n")
endef
export REQUIREMENTS
