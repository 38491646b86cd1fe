# make setup   makes .venv with the locked dependencies (every target below does it by itself)
# make demo    from a data file to a served model and rollouts; ONCE=1 stops after them
# make test    the whole suite, files in two processes; ARGS="-k form" passes words to pytest, JOBS=0 keeps to one
# make thorough  what takes long of it: real data sets, and properties with ten times the examples; minutes
# make test-formats  the tests with Keras, PyTorch, CatBoost, MLflow and Triton's client, in an environment of their own (3 GB)
# make lint    everything that is checked without running the suite
# make bench   how fast it serves, beside a bare server and nine others, which it installs (6 GB); ARGS="--only single"
# make bench-registry   the registry beside MLflow's, which it installs into an environment of its own
# make fuzz    a million requests made from right ones, and 300,000 calls of gRPC (atheris); CASES= and CALLS= for more
# make bench-rollouts   how often rollouts of equal versions are wrongly rolled back, and how soon worse ones are caught
# make swap    500,000 requests while versions change 200 times: no failure, and the memory of the workers
# make crowd   10,000 idle connections, and hundreds that dribble, stall or stop half-way: nobody else waits
# make storm   32 processes on one registry, 1,000 times one is killed; on SQLite and on PostgreSQL
# make chaos   ten minutes of faults while callers check every answer: kills, no disk, no database, bad candidates
# make docs    writes docs/reference from the code
# make lock    resolves requirements.lock again from pyproject.toml
# make clean   removes what can be made again

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
HEAVY := .venv-formats
HEAVY_READY := $(HEAVY)/.ready
FUZZ := .venv-fuzz
CASES ?= 1000000
CALLS ?= 300000
PYTHON ?= python3
ARGS ?=
JOBS ?= 2

# Behind a proxy with a CA of its own, the system's certificates know it and pip's do not.
CERTIFICATES := $(firstword $(wildcard $(SSL_CERT_FILE) \
	/etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))
ifneq ($(CERTIFICATES),)
export SSL_CERT_FILE ?= $(CERTIFICATES)
export PIP_CERT ?= $(CERTIFICATES)
endif
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.DEFAULT_GOAL := help
.PHONY: swap crowd chaos help setup demo test thorough test-formats lint bench bench-registry fuzz storm docs lock clean bench-rollouts

help:
	@sed -n 's/^# make/make/p' Makefile

setup: $(READY)

# Made once, and again when what it was made from changes. The stamp is written last: a set-up that was
# interrupted is gone on with, and an environment that no longer runs is made anew.
$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no $(PYTHON) here: install Python 3.11 or newer, or name one with make PYTHON=/path/to/python3." >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Mainstay needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1): install a newer one, or name it with make PYTHON=python3.12." >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) comes without venv or ensurepip: install them (on Debian and Ubuntu: apt-get install python3-venv)." >&2; exit 2; }
	@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing the locked dependencies into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	@$(BIN)/mainstay demo $(if $(ONCE),--once)

test: setup
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

thorough: export MAINSTAY_TEST_EXAMPLES ?= 300
thorough: export MAINSTAY_TEST_CHANGES ?= 100
thorough: setup
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "long or sweep or hypothesis" --timeout 1200 $(ARGS)

# An environment that lies over the locked one, which the .pth file brings in: nothing is installed twice.
define over_the_locked
	@$(1)/bin/python -c 'import pip' 2>/dev/null || $(BIN)/python -m venv --clear $(1)
	@$(1)/bin/python -c 'import pathlib, sysconfig; \
		site = pathlib.Path(sysconfig.get_path("purelib")); \
		locked = pathlib.Path("$(VENV)").resolve() / site.relative_to(pathlib.Path("$(1)").resolve()); \
		(site / "locked.pth").write_text(f"import site; site.addsitedir({str(locked)!r})\n")'
endef

$(HEAVY_READY): requirements-formats.txt $(READY)
	$(call over_the_locked,$(HEAVY))
	@echo "Installing the heavy libraries into $(HEAVY) (3 GB; minutes the first time)"
	@$(HEAVY)/bin/python -m pip install --quiet -r requirements-formats.txt
	@touch $@

test-formats: $(HEAVY_READY)
	@MAINSTAY_REQUIRE_FORMATS=1 $(HEAVY)/bin/python -m pytest tests/heavy $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src tools
	$(BIN)/lint-imports
	$(BIN)/python -m tools.lock
	$(BIN)/python -m tools.reference --check

$(FUZZ)/.ready: requirements-fuzz.txt $(READY)
	$(call over_the_locked,$(FUZZ))
	@$(FUZZ)/bin/python -m pip install --quiet --require-hashes -r requirements-fuzz.txt
	@touch $@

fuzz: $(FUZZ)/.ready
	@$(FUZZ)/bin/python tests/fuzz $(CASES) http
	@$(FUZZ)/bin/python tests/fuzz $(CALLS) grpc

bench: setup
	@$(BIN)/python benchmarks/serving.py $(ARGS)

bench-registry: setup
	@$(BIN)/python benchmarks/registry.py $(ARGS)

swap: export MAINSTAY_TEST_REQUESTS ?= 500000
swap: setup
	@$(BIN)/python -m pytest -s -m '' --timeout 3600 tests/serving/test_swaps.py tests/serving/test_promotions.py \
		tests/serving/test_candidates.py $(ARGS)

crowd: export MAINSTAY_TEST_CROWD ?= 10000
crowd: setup
	@$(BIN)/python -m pytest -s --timeout 600 tests/serving/test_crowds.py $(ARGS)

bench-rollouts: setup
	@$(BIN)/python benchmarks/rollouts.py $(ARGS)

storm: export MAINSTAY_TEST_KILLS ?= 1000
storm: setup
	@$(BIN)/python -m pytest -s --timeout 3000 tests/registry -k killed_at_random $(ARGS)

chaos: export MAINSTAY_TEST_CHAOS ?= 120
chaos: setup
	@$(BIN)/python -m pytest -s --timeout 600 --session-timeout 1200 tests/chaos $(ARGS)

docs: setup
	@$(BIN)/python -m tools.reference

lock: setup
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra train \
		--extra postgres --extra s3 --extra sign --extra images --extra arrow --group dev \
		--no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --python-version 3.11 --group formats -c requirements.lock --no-header \
		--no-annotate -o $(HEAVY).txt
	@{ sed -n '/^#/p' requirements-formats.txt; sed -E '/^(nvidia|cuda|triton==)/d' $(HEAVY).txt; } > $(HEAVY).new
	@mv $(HEAVY).new requirements-formats.txt && rm $(HEAVY).txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --group pyproject.toml:fuzz \
		--no-header --no-annotate -o requirements-fuzz.txt
	$(BIN)/python -m tools.lock

clean:
	rm -rf $(VENV) $(HEAVY) $(FUZZ) .venv-peers build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache
