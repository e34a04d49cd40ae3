# Everything happens in .venv, which `make` builds by itself and rebuilds when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

DEVICE ?= cuda
OUT ?= build/gpu
WHEELHOUSE ?= build/wheelhouse
PYTHON_VERSION ?= 3.12

.PHONY: help demo test lint type unit docs evidence mutants gpu wheelhouse figures release constraints format clean

help:
	@echo "make demo    train the default pair on digits, attack it, write the report"
	@echo "make test    lint, types and tests"
	@echo "make docs    build the documentation into build/docs"
	@echo "make evidence run the checks that take long"
	@echo "make mutants change rules one at a time and list those whose change no test notices. PLACES='threat union',"
	@echo "             COUNT=200 and SEED=0 say which; a second call goes on where the first was stopped"
	@echo "make gpu     tests, speeds and two epochs on a CUDA device, in 9 minutes at most; a second call goes on where the"
	@echo "             first was cut. DEVICE=cpu is a dry run; DATA=DIR takes real images; OUT=DIR (build/gpu) gets the results"
	@echo "make wheelhouse PYTHON_VERSION=3.12   collect in build/wheelhouse what a machine lacks that has torch, torchvision"
	@echo "             and no network; make gpu takes it from there. ALL=1 takes pyarrow, scipy and the other large ones, too"
	@echo "make figures count the recipes' networks and write the figures into models/"
	@echo "make release RUNS='runs/...' put finished runs into models/released/"
	@echo "make constraints  pin in constraints.txt what is installed here, once the tests have passed"
	@echo "make format  let ruff format and mend the code"
	@echo "make clean   remove the virtual environment and caches"

$(READY): pyproject.toml hatch_build.py docs/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "aigrob needs Python 3.11 or newer; name one with: make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@# torchattacks pins a requests of 2020 that it never imports, but foolbox does; its known vulnerabilities are not worth keeping.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
		'requests>=2.33' 'urllib3>=2.7' 'idna>=3.15' 'charset-normalizer>=3.4' certifi
	@# adv-lib depends on visdom, a server of plots that doesn't build and that its attacks don't need.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps adv-lib==0.2.8
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	@touch $@

demo: $(READY)
	$(BIN)/aigrob demo

# Types are checked while the tests run: mypy has one core to itself, and tests that start processes leave some free.
test: lint
	@$(MAKE) --no-print-directory -j2 type unit

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(READY)
	$(BIN)/mypy

# Tests that start processes wait for them: one worker more than there are cores keeps all cores busy.
unit: $(READY)
	$(BIN)/pytest -n $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )) --dist worksteal

docs: $(READY)
	$(BIN)/sphinx-build -W --keep-going -q -b html -c docs . build/docs
	@echo "build/docs/docs/index.html"

# What claims rest on and takes long; DATA is a folder of real images, without which some of it is left out.
evidence: $(READY)
	AIGROB_EVIDENCE_DATA=$(DATA) OMP_NUM_THREADS=1 $(BIN)/pytest -m evidence -n auto --dist worksteal

# Of each place 200 mutants by default; fails where its tests notice fewer than 90 %.
mutants: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.mutants $(PLACES) $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED))

# Where there are wheels, or $(PYTHON) has what is needed, no environment is built.
AT_HAND = ls $(WHEELHOUSE)/*.whl >/dev/null 2>&1 || $(PYTHON) -c 'import importlib.util as u, sys; \
	sys.exit(any(u.find_spec(name) is None for name in ("torch", "torchvision", "torchattacks", "foolbox", "pydantic")))'

gpu:
	@if $(AT_HAND); then python=$(PYTHON); else $(MAKE) --no-print-directory $(READY) && python=$(BIN)/python; fi && \
		$$python -m benchmarks.gpu --device $(DEVICE) --data "$(DATA)" --out "$(OUT)" --wheels "$(WHEELHOUSE)"

wheelhouse: $(READY)
	$(BIN)/python -m benchmarks.wheelhouse --python $(PYTHON_VERSION) --out "$(WHEELHOUSE)" $(if $(ALL),--all)

figures: $(READY)
	$(BIN)/python -m tools.recipe_figures

# Puts finished runs, named by their directories, into models/released/.
release: $(READY)
	$(BIN)/python -m tools.releasing $(RUNS)

# The head of the file stays. Without what is upgraded behind torchattacks' back, and adv-lib, which is no dependency.
APART := requests|urllib3|idna|chardet|charset-normalizer|certifi|adv-lib
constraints: $(READY)
	{ grep '^#' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | grep -viE '^($(APART))=='; } > constraints.new
	mv constraints.new constraints.txt

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
