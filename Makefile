# The two commands of the README, each with its own set-up:  make demo   make test
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test lint clean
setup: .venv/installed

.venv/installed: pyproject.toml requirements.txt constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Apical needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt
	touch $@

demo: setup
	rm -rf apical-demo
	$(BIN)/apical demo --out apical-demo

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --cov --cov-report=term

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv apical-demo
