# Every target sets up what it needs: a virtual environment in .venv, from requirements.lock.

PYTHON ?= python3.11
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Compiled modules make every later start several times faster, so they are wanted even where this is set.
unexport PYTHONDONTWRITEBYTECODE
# Threads that spin while they wait cost more than they gain on shared cores.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: recap test lint train lock clean

recap: $(READY)  ## run the embedded demonstration
	$(BIN)/python -m pipelines.recap --runner=DirectRunner

test: $(READY)  ## lint, then every test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q -n 2

train: $(READY)  ## train the demonstration's models anew
	$(BIN)/python -m beam_recap.demo.train
	$(BIN)/python -m beam_recap.demo.fit_aesthetic

lock:  ## resolve the dependencies anew
	$(BIN)/uv pip compile --quiet --python-version 3.11 --no-emit-index-url --no-annotate --no-header --extra dev setup.py -o requirements.lock

clean:
	rm -rf $(VENV)

$(READY): requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	touch $@
