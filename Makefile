# Two commands do everything: `make demo` and `make test`. Both use their own .venv and leave the machine alone.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test chaos bench docs lint canvas canvas-check sbom lowest format clean

$(READY): pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[all,dev]'
	@touch $@

demo: $(READY)  ## run the main job on the sample data
	@$(BIN)/engage demo

test: $(READY)  ## run the whole test suite, on as many cores as there are up to four
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(PYTEST_ARGS)

chaos: $(READY)  ## kill senders 200 times over 20,000 messages, with and without an idempotency key, and a journey's ticks 200 times; malformed requests; what the tests try a few times 20 times as often; SEED=1
	$(BIN)/python bench/chaos.py --seed $(or $(SEED),1)
	$(BIN)/python bench/chaos.py --seed $(or $(SEED),1) --no-key
	$(BIN)/python bench/journey_chaos.py --seed $(or $(SEED),1)
	$(BIN)/python bench/fuzz.py --seed $(or $(SEED),1)
	TRIES=20 $(BIN)/python -m pytest -m chance -n auto --maxprocesses 4 --dist worksteal --timeout 3600

bench: $(READY)  ## how fast analyses are beside chdb and polars and what memory they take (EVENTS=10000000), files are imported, a million are planned, events are collected and answered with a message, a run is sent against the same client alone, and notebooks show themselves and follow a filter
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[bench]'
	$(BIN)/python bench/analytics.py $(or $(EVENTS),10000000)
	$(BIN)/python bench/memory.py $(or $(EVENTS),10000000)
	$(BIN)/python bench/importing.py
	$(BIN)/python bench/planning.py
	$(BIN)/python bench/collecting.py
	$(BIN)/python bench/triggered.py
	$(BIN)/python bench/journeys.py
	$(BIN)/python bench/delivery.py
	$(BIN)/python bench/notebooks.py

docs: $(READY)  ## build the documentation into site/; a broken link or reference fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

sbom:  ## list every library the product installs with its version and licence, into build/sbom.json
	$(PYTHON) -m venv --clear build/sbom
	$(PYTHON) -m venv --clear build/product
	build/sbom/bin/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt cyclonedx-bom
	build/product/bin/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt '.[all]'
	build/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library --output-reproducible \
		-o build/sbom.json build/product/bin/python

lowest: $(READY)  ## test the core on the lowest versions pyproject.toml allows, in an environment of its own
	$(BIN)/python .ci/lowest.py

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
