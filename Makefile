# Starloom: `make run` shows a first result, `make test` checks the installation.
# Everything is installed into .venv with the versions of constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= results/tour
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Tables beside the checkout are used where they exist; otherwise each dataset is looked for elsewhere.
DATA := $(wildcard ../shared/data)
export STARLOOM_DATA := $(if $(STARLOOM_DATA),$(STARLOOM_DATA),$(if $(DATA),$(abspath $(DATA))))

.PHONY: install run test lint layers types docs accuracy bench bench-zoobot clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable ".[test]"
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(PIP) --editable ".[test,docs]"
	touch $@

run: install
	$(BIN)/starloom tour --resume --out $(OUT)

# One thread a worker: two workers share two cores; the one that is done first takes tests from the other.
test: install
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not long"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

layers: install
	$(BIN)/lint-imports

types: install
	$(BIN)/mypy

# With the figures of the last tour, where `make run` made one.
docs: $(VENV)/installed-docs
	STARLOOM_TOUR=$(abspath $(OUT)) $(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# The long bars: many seeds. Writes benchmarks/ACCURACY.md; an interrupted run goes on where it stopped.
accuracy: install
	$(BIN)/python benchmarks/accuracy.py

# Side by side with peers, in the same run. Writes benchmarks/RESULTS.md.
bench: install
	$(BIN)/python benchmarks/run.py

# The same beside Zoobot's own stack, which is put into a folder of its own.
bench-zoobot: install
	$(PIP) --no-deps --target .venv-zoobot --requirement benchmarks/zoobot_environment.txt
	PYTHONPATH=.venv-zoobot $(BIN)/python benchmarks/run.py --only "galaxy images beside Zoobot"

clean:
	rm -rf $(VENV) .venv-zoobot docs/_build
