# Two commands do everything: `make demo` and `make test`. Both use their own .venv and leave the machine alone.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test chaos bench docs lint canvas canvas-check sbom format clean

$(READY): pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[channels,server,postgres,dev]'
	@touch $@

demo: $(READY)  ## run the main job on the sample data
	@$(BIN)/engage demo

test: $(READY)  ## run the whole test suite, on as many cores as there are up to four
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(PYTEST_ARGS)

chaos: $(READY)  ## kill senders 200 times over 20,000 messages, with and without an idempotency key; malformed requests; SEED=1
	$(BIN)/python bench/chaos.py --seed $(or $(SEED),1)
	$(BIN)/python bench/chaos.py --seed $(or $(SEED),1) --no-key
	$(BIN)/python bench/fuzz.py --seed $(or $(SEED),1)

bench: $(READY)  ## how fast analyses are beside chdb and polars, a million are planned, events are collected, and a run is sent against the same client alone
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[bench]'
	$(BIN)/python bench/analytics.py
	$(BIN)/python bench/planning.py
	$(BIN)/python bench/collecting.py
	$(BIN)/python bench/journeys.py
	$(BIN)/python bench/delivery.py

docs: $(READY)  ## build the documentation into site/; a broken link or reference fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

sbom: $(READY)  ## list every library of an installation with its version and licence; ENVIRONMENT=/path/to/venv
	$(PYTHON) -m venv build/sbom
	build/sbom/bin/python -m pip install --quiet --disable-pip-version-check 'cyclonedx-bom>=7,<8'
	build/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library --output-reproducible \
		-o build/sbom.json $(or $(ENVIRONMENT),$(VENV))/bin/python

lint: $(READY) canvas-check  ## ruff, mypy, import-linter, marimo check, the canvas as built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/marimo check --strict notebooks/*.py

CANVAS := engage/journeys/canvas

canvas:  ## build the journey canvas of its sources; needs npm
	cd $(CANVAS) && npm ci --ignore-scripts --no-audit --no-fund && npm run --silent build

canvas-check:  ## build it again and compare, where there is npm and it can fetch what it builds with
	@cd $(CANVAS) && if ! command -v npm >/dev/null; then echo "canvas-check: no npm here, only the digest of the sources is tested"; \
	elif ! npm ci --ignore-scripts --no-audit --no-fund --silent; then echo "canvas-check: npm could not fetch, only the digest of the sources is tested"; \
	else npm run --silent check; fi

format: $(READY)  ## put code into the house's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and what the demo made
	rm -rf $(VENV) data/lake data/outbox data/ledger.sqlite* data/mailbox.sqlite* data/engage.lock
