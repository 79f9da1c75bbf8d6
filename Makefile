# `make lab` and `make test` are all that a reader needs. Each target first brings its environment up to date, which
# takes no time if nothing has changed (see setup_environment.py).

.DEFAULT_GOAL := help
.PHONY: help lab test handouts bench lint lock clean

# The interpreter to build environments with, e.g. `make PYTHON=python3.12 test`.
ifdef PYTHON
  setup := "$(PYTHON)" setup_environment.py --python "$(PYTHON)"
  interpreter := $(PYTHON)
else
  interpreter := $(shell command -v python3 || command -v python3.11 || command -v python3.12 || command -v python3.13)
  setup := "$(interpreter)" setup_environment.py
endif
python := .venv/bin/python

# More arguments for pytest, e.g. `make test ARGS="tests/data -x"`.
ARGS ?=
# What `make bench` measures, e.g. `make bench BENCHMARKS=vae_epoch`.
BENCHMARKS ?= start_up pictures slider_latency handouts graphs rbm denoising sequences draw \
  sentences grading vae_epoch

help: ## show this list
	@sed -n 's/^\([a-z]*\):.* ## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

lab: .venv ## open the lectures in JupyterLab
	$(python) -m gmnm_lib.cli lab

test: .venv-test ## run all tests
	OMP_NUM_THREADS=1 $(python) -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder $(ARGS)

handouts: .venv ## write every lecture as one HTML file that needs no network, into handouts/
	$(python) -m gmnm_lib.cli handout --jobs 2

bench: .venv-bench ## measure against other libraries, into benchmarks/results/
	set -e; for name in $(BENCHMARKS); do .venv-bench/bin/python -m benchmarks.$$name; done

lint: .venv-test ## check style and types
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy

lock: interpreter ## choose the newest versions within the ranges of pyproject.toml, into requirements.lock
	@$(setup) --lock

clean: ## delete the environments and caches
	rm -rf .venv .venv-bench .venv*.lock .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: interpreter .venv .venv-test .venv-bench
interpreter:
	@"$(interpreter)" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2> /dev/null || { \
	echo "gmnm: Python 3.11 or newer is needed, which '$(or $(interpreter),python3)' is not:" \
	"install it, or name another as in make PYTHON=python3.12 test." >&2; exit 1; }

.venv: interpreter
	@$(setup)

.venv-test: interpreter
	@$(setup) --extra test

.venv-bench: interpreter
	@$(setup) --environment .venv-bench --extra test --requirements benchmarks/requirements.txt
