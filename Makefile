# Every target makes the virtual environment it needs in $(VENV) and reuses it until pyproject.toml or the pins change.
#   make demo VENV=/path/to/venv    another place for it
#   make test ARGS="-k lanes"       more arguments for the command behind a target
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PINNED := pyproject.toml setup.py constraints.txt
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

export OMP_NUM_THREADS ?= 1
unexport PIP_NO_BUILD_ISOLATION # mmcv would look for a compiler

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-gpu check format bench fuzz

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: $(STAMPS)/core ## simulate a short drive, run the pipeline with the shipped weights, score it, write out/demo/
	$(BIN)/perception demo $(ARGS)

test: $(STAMPS)/dev ## the tests that take less than a minute each and no GPU
	$(BIN)/python -m pytest -m "not slow and not gpu" $(ARGS)

test-all: $(STAMPS)/dev ## all tests that need no GPU
	$(BIN)/python -m pytest -m "not gpu" $(ARGS)

test-gpu: $(STAMPS)/dev ## GPU tests and parity on real hardware, one report in out/gpu_report.json; exits 2 without a GPU
	$(BIN)/python tools/gpu_report.py --probe
	$(MAKE) $(STAMPS)/gpu
	$(BIN)/python tools/gpu_report.py --out out/gpu_report.json $(ARGS)

check: $(STAMPS)/dev ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy perception plugins sim

format: $(STAMPS)/dev ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMPS)/core ## timing ratios against reference implementations
	$(BIN)/perception bench $(ARGS)

fuzz: $(STAMPS)/dev ## damaged files for every reader, COUNT of them (500), in processes with limits
	$(BIN)/python -m perception.fuzz.readers --count $(or $(COUNT),500) $(ARGS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python >= 3.10 is needed, found: $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# opencv-python, which mmcv asks for, and the headless build share the folder cv2: whichever is installed last wins,
# and only the headless one works without the system library libGL.so.1.
HEADLESS = $(INSTALL) --force-reinstall --no-deps opencv-python-headless

$(STAMPS)/core: $(PINNED) | $(BIN)/python
	@echo "installing the core into $(VENV) (some minutes the first time)"
	$(INSTALL) -e .
	$(HEADLESS)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: $(PINNED) | $(BIN)/python
	@echo "installing the core and the development tools into $(VENV) (some minutes the first time)"
	$(INSTALL) -e '.[dev]'
	$(HEADLESS)
	@mkdir -p $(STAMPS) && touch $(STAMPS)/core $@

$(STAMPS)/gpu: $(PINNED) | $(BIN)/python
	$(INSTALL) -e '.[dev,cuda]'
	$(HEADLESS)
	@mkdir -p $(STAMPS) && touch $(STAMPS)/core $(STAMPS)/dev $@
