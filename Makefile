# Two commands: `make demo` and `make test`. Each sets up its own .venv first.

PYTHON ?= python3
BIN := .venv/bin
# More flags for the demo, such as --config.train.epochs=2.
FLAGS ?=
# Without its dependencies: METEOR's jar and the reference scorers are enough.
METEOR := pycocoevalcap==1.2

# A checkout of the authors' code, for `parity` and `bench`.
R2GENCMN ?=

.PHONY: demo test test-torch test-processes parity bench tpu-check tables lint

# The row `cmn`, the published model.
demo: .venv/.installed
	$(BIN)/python main.py --config=configs/phantom.py:cmn --workdir=runs/demo $(FLAGS)

test: .venv/.installed-dev
	$(BIN)/python -m pytest -m 'not torch and not processes'

# Training in two processes against training in one.
test-processes: .venv/.installed-dev
	$(BIN)/python -m pytest -m processes -n 0

# Tests against torch itself; installs its CPU build.
test-torch: .venv/.installed-torch
	$(BIN)/python -m pytest -m torch

# The authors' own code against ours: make parity R2GENCMN=path/to/R2GenCMN
parity: .venv/.installed-torch
	$(BIN)/python -m tests.parity --r2gencmn $(R2GENCMN) $(FLAGS)

# Our speed, beside the authors' with R2GENCMN=path/to/R2GenCMN.
bench: .venv/.installed$(if $(R2GENCMN),-torch)
	$(BIN)/python -m benchmarks.speed \
	  $(if $(R2GENCMN),--pytorch $(R2GENCMN)) $(FLAGS)

# A config's programs, compiled for a TPU that is not there.
tpu-check: .venv-tpu/.installed
	.venv-tpu/bin/python -m benchmarks.tpu $(FLAGS)

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.venv/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + \
	  ". Name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -r requirements.txt
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	$(BIN)/pip install --quiet -r requirements-dev.txt
	$(BIN)/pip install --quiet --no-deps $(METEOR)
	@touch $@

.venv/.installed-torch: .venv/.installed-dev requirements-torch.txt
	$(BIN)/pip install --quiet -r requirements-torch.txt
	@touch $@

# The TPU's compiler makes plain JAX noisy: it has a .venv of its own.
.venv-tpu/.installed: requirements-tpu-check.txt requirements.txt
	$(PYTHON) -m venv .venv-tpu
	.venv-tpu/bin/pip install --quiet -r requirements-tpu-check.txt
	@touch $@

# docs/results.md from the stored scores of runs.
tables: .venv/.installed
	cp docs/results/words.md docs/results.md
	$(BIN)/python -m cmn_jax.tables --runs docs/results/*.json >> docs/results.md
