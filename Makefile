# One command each, on a fresh machine: `make demo` shows it work, `make test` tests it.
PYTHON ?= python3
BIN = .venv/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint bench clean

demo: .venv/demo
	@rm -rf runs/demo
	$(BIN)/acn compress --config recipes/digits.yaml --output runs/demo

test: .venv/dev lint
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -q -n logical --dist loadfile --max-worker-restart 0

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/dev
	$(BIN)/python benchmarks/connectivity.py

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) -e .[onnx]
	@touch $@

.venv/dev: .venv/demo
	$(PIP) -e .[dev]
	@touch $@

clean:
	rm -rf .venv runs build dist
