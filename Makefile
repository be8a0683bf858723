# Each target sets up .venv on first use; PYTHON chooses the interpreter (3.11 to 3.13).
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help run report test test-slow lint format docs tensorboard bench chaos clean
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

run: .venv/ready  ## train the head with custom_adam on the drawn pictures
	$(BIN)/python -m catsdogs.train

report: .venv/ready  ## native against custom, all runs of the monograph; opens on report/index.html
	$(BIN)/python -m catsdogs.compare experiment=monograph
	$(BIN)/python -m catsdogs.report runs=outputs/monograph out=report

# One thread for each worker: threads of torch that wait for a core spin, and take it from others.
test: .venv/ready  ## run the test suite (offline, on the CPU)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

test-slow: .venv/ready  ## run the long tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal --slow -m slow

lint: .venv/ready  ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/ready  ## apply the format and the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/ready  ## build the documentation's site, offline, into site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

tensorboard: .venv/ready  ## show the runs under outputs/ on http://localhost:6006
	$(BIN)/tensorboard --logdir outputs --host localhost

bench: .venv/ready  ## time optimizers and training, into outputs/optimizers.md and training.md
	$(BIN)/python -m scripts.bench.optimizers --save outputs/optimizers.md
	$(BIN)/python -m scripts.bench.training --save outputs/training.md

chaos: .venv/ready  ## kill trainings, make system calls fail, compare what is left, into outputs/chaos.md
	$(BIN)/python -m scripts.chaos --save outputs/chaos.md

clean:  ## remove the virtual environment and caches, not the runs
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache site

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"catsdogs needs Python 3.11 to 3.13, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	@echo "installing torch and the rest into .venv: several gigabytes and a few minutes, once"
	$(BIN)/python -m pip install --progress-bar on --constraint constraints.txt --editable '.[dev]'
	@touch $@
