# Two commands: `make demo` and `make test`. Each sets up its own .venv first.

PYTHON ?= python3
# Another folder keeps a second Python apart: make VENV=.venv-3.12 PYTHON=...
VENV ?= .venv
BIN := $(VENV)/bin
# More flags for the demo, such as --config.train.epochs=2.
FLAGS ?=
# Without its dependencies: METEOR's jar and the reference scorers are enough.
METEOR := pycocoevalcap==1.2
# About a minute in all: what another Python or jax is likely to break.
FAST := tests/models/golden_test.py tests/models/layers_test.py \
  tests/models/memory_test.py tests/models/vit_test.py tests/decoding \
  tests/losses tests/scores tests/training/optimizer_test.py \
  tests/input_pipeline/tokenizers_test.py tests/input_pipeline/images_test.py

# Checkouts of authors' code, for `parity` and `bench`; either may be missing.
R2GENCMN ?=
EKAGEN ?=

# What `make test` runs: all that needs no more than requirements-dev.txt.
PLAIN := not torch and not processes and not outside and not page \
  and not beam

.PHONY: demo test test-fast test-torch test-processes test-outside \
  test-page test-beam parity bench gpu-bench tpu-check tables lint \
  wheel-check soak fuzz

# The row `cmn`, the published model.
demo: $(VENV)/.installed
	$(BIN)/python main.py --config=configs/phantom.py:cmn --workdir=runs/demo $(FLAGS)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m '$(PLAIN)'

test-fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m '$(PLAIN)' $(FAST)

# Training in two processes against training in one.
test-processes: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m processes -n 0

# Tests against torch itself; installs its CPU build.
test-torch: $(VENV)/.installed-torch
	$(BIN)/python -m pytest -m torch

# Our scores against those of scikit-learn, scipy and sacrebleu.
test-outside: $(VENV)/.installed-outside
	$(BIN)/python -m pytest -m outside

# The page of `serve` in a browser, which must be there: Debian's chromium.
test-page: $(VENV)/.installed-serve $(VENV)/.installed-browser
	$(BIN)/python -m pytest -m page -n 0

# What Apache Beam prepares against what one process does.
test-beam: $(VENV)-beam/.installed
	$(VENV)-beam/bin/python -m pytest -m beam -n 0

# The authors' own code against ours: make parity R2GENCMN=path/to/R2GenCMN
# EKAGEN=path/to/EKAGen
parity: $(VENV)/.installed-torch
	$(BIN)/python -m tests.parity $(if $(R2GENCMN),--r2gencmn $(R2GENCMN)) \
	  $(if $(EKAGEN),--ekagen $(EKAGEN)) $(FLAGS)

# Our speed, beside the authors' with R2GENCMN=path/to/R2GenCMN
# EKAGEN=path/to/EKAGen; with one of them its workloads alone.
bench: $(VENV)/.installed$(if $(R2GENCMN)$(EKAGEN),-torch)
	$(BIN)/python -m benchmarks.speed \
	  $(if $(R2GENCMN),--pytorch $(R2GENCMN)) \
	  $(if $(EKAGEN),--ekagen $(EKAGEN)) $(FLAGS)

# The same on a GPU, in the Python that has jax for it: no .venv is made.
gpu-bench:
	$(PYTHON) -m benchmarks.gpu \
	  $(if $(R2GENCMN),--pytorch $(R2GENCMN)) $(FLAGS)

# Runs stopped at a hundred random moments, against one that was not.
soak: $(VENV)/.installed-dev
	$(BIN)/python -m tests.soak $(FLAGS)

# Damaged files of every kind, read as the commands read them; ten minutes.
fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m tests.fuzz $(FLAGS)

# A config's programs, compiled for a TPU that is not there.
tpu-check: $(VENV)-tpu/.installed
	$(VENV)-tpu/bin/python -m benchmarks.tpu $(FLAGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# What a wheel holds, and that an empty virtual environment runs it.
wheel-check: $(VENV)/.installed
	.ci/wheel $(BIN)/python

$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + \
	  ". Name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/pip install --quiet -r requirements-dev.txt
	$(BIN)/pip install --quiet --no-deps $(METEOR)
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed-dev requirements-%.txt
	$(BIN)/pip install --quiet -r requirements-$*.txt
	@touch $@

# The TPU's compiler makes plain JAX noisy: it has a .venv of its own.
$(VENV)-tpu/.installed: requirements-tpu-check.txt requirements.txt
	$(PYTHON) -m venv $(VENV)-tpu
	$(VENV)-tpu/bin/pip install --quiet -r requirements.txt \
	  -r requirements-tpu-check.txt
	@touch $@

# Apache Beam takes older versions of some packages: it has a .venv of its own.
$(VENV)-beam/.installed: requirements-beam.txt requirements.txt \
  requirements-dev.txt
	$(PYTHON) -m venv $(VENV)-beam
	$(VENV)-beam/bin/pip install --quiet -r requirements.txt \
	  -r requirements-dev.txt -r requirements-beam.txt
	@touch $@

# docs/results.md from the stored scores of runs.
tables: $(VENV)/.installed
	cp docs/results/words.md docs/results.md
	$(BIN)/python -m cmn_jax.tables --runs docs/results/*.json >> docs/results.md
