# For a fresh machine: `make demo` runs a demonstration, `make test` the tests.
PYTHON ?= python3
BIN = .venv/bin
# The networks of the tests and of the demo are so small that a second thread makes them slower, and on a
# machine with other work several times slower: the threads wait for each other.
THREADS = OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
# Tests start dozens of processes. Without bytecode files each of them compiles all that it imports, which
# takes as long again as the import; an environment that forbids such files is therefore overruled.
PYTEST = PYTHONDONTWRITEBYTECODE= $(THREADS) $(BIN)/python -m pytest -q \
  -n logical --dist loadfile --max-worker-restart 0
QUICK = tests/test_house.py tests/test_contract.py tests/test_fed_rules.py tests/statistics tests/data/test_labels.py \
  tests/data/test_noise.py tests/pipeline/test_words.py tests/pipeline/test_safe_yaml.py \
  tests/pipeline/test_model_options.py tests/conversion/test_plan.py
PIP = $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt

.PHONY: demo test quick thorough clients lint help-texts bench clean

demo: .venv/demo
	@rm -rf runs/demo
	$(THREADS) $(BIN)/acn compress --config recipes/doubling.yaml --output runs/demo

test: .venv/dev lint
	$(PYTEST) -m "not slow" --durations 15

# All tests, including the slowest ones: kills, two machines, whole studies, notebooks, the site.
thorough: .venv/notebooks lint
	$(PYTEST)

# What other tools do with converted networks, and the suites of timm and transformers on our classes:
# writes docs/clients.md. It starts two dozen processes: bytecode files and patience are as for the tests.
clients: .venv/clients
	PYTHONDONTWRITEBYTECODE= $(THREADS) $(BIN)/python tests/clients/suites/run.py

# Takes less than a minute: no training, no compiler, no processes.
quick: .venv/dev
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -m "not slow" $(QUICK)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The short help of every verb, stored so that `acn VERB --help` need not import the verb.
help-texts: .venv/dev
	$(BIN)/python -c "from autocompress.commands.help import stored; print(stored(), end='')" > build-help.json
	mv build-help.json src/autocompress/commands/help.json

bench: .venv/dev
	$(BIN)/python benchmarks/connectivity.py

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) -e .[onnx]
	@touch $@

.venv/dev: .venv/demo
	$(PIP) -e .[dev,browser]
	@touch $@

.venv/notebooks: .venv/dev
	$(PIP) -e .[notebooks,docs]
	@touch $@

.venv/clients: .venv/dev
	$(PIP) -e .[clients]
	@touch $@

clean:
	rm -rf .venv runs build dist
