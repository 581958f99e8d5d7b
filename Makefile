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

# Other engines, and how they start worker processes, which end with the command ($$$$, by exec).
ENGINES := .engines
RUN_ON = exec $(BIN)/python -m pipelines.recap --default_sdk_harness_log_level=WARN --environment_type=PROCESS \
	--environment_config='{"command": "$(CURDIR)/$(ENGINES)/worker", "env": {"BEAM_RECAP_COMMAND": "'$$$$'"}}'

.PHONY: recap recap-flink recap-prism test test-slow test-img2dataset lint train lock image-lock template reference clean

recap: $(READY)  ## run the embedded demonstration
	$(BIN)/python -m pipelines.recap --runner=DirectRunner

recap-flink: $(ENGINES)/worker $(ENGINES)/flink/job-server.jar  ## run ARGS='--input=... --output=...' on a local Flink
	$(RUN_ON) --runner=FlinkRunner --flink_master='[local]' --flink_job_server_jar=$(ENGINES)/flink/job-server.jar \
		--parallelism=2 --sdk_worker_parallelism=2 --environment_cache_millis=86400000 $(ARGS)

recap-prism: $(ENGINES)/worker $(ENGINES)/prism  ## run ARGS='--input=... --output=...' on Prism
	$(RUN_ON) --runner=PrismRunner --prism_location=$(ENGINES)/prism $(ARGS)

test: $(READY)  ## lint, then every test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q -n 3 --dist=worksteal

test-slow: $(READY)  ## the tests that take longest
	$(BIN)/python -m pytest -q -n 3 --dist=worksteal -m slow

# Its pins are others than ours, so it has an environment of its own; its version is that of the benchmarks.
test-img2dataset: $(READY)  ## whether img2dataset, installed beside, opens what is written
	program=$$($(BIN)/python -c 'import pathlib; from tests.benchmarks.peer import prepare_peer; \
		print(prepare_peer(pathlib.Path("$(ENGINES)").resolve()))') && \
	BEAM_RECAP_IMG2DATASET=$${program%/*}/python $(BIN)/python -m pytest -q -k img2dataset tests/beam_recap/report tests/pipelines

train: $(READY)  ## train the demonstration's models anew
	$(BIN)/python -m beam_recap.demo.train
	$(BIN)/python -m beam_recap.demo.fit_aesthetic

lock:  ## resolve the dependencies anew
	$(BIN)/uv pip compile --quiet --python-version 3.11 --no-emit-index-url --no-annotate --no-header --extra dev setup.py -o requirements.lock

image-lock:  ## what the image installs: of the lock only what runs need, with digests
	$(BIN)/uv pip compile --quiet --python-version 3.11 --no-emit-index-url --no-annotate --no-header --generate-hashes --constraints requirements.lock setup.py -o dockerfiles/requirements.lock

template: $(READY)  ## describe every flag to Dataflow's Flex Templates anew
	$(BIN)/python -m beam_recap.flex_template > dockerfiles/recap.metadata.json

reference: $(READY)  ## write docs/options.md and docs/reasons.md anew
	$(BIN)/python -m beam_recap.reference docs

clean:
	rm -rf $(VENV) $(ENGINES)

$(READY): requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	touch $@

$(ENGINES)/worker: $(READY) Makefile
	mkdir -p $(@D)
	printf '#!/bin/sh\ncd "%s" && exec "%s" -m beam_recap.engine_worker "$$@"\n' '$(CURDIR)' '$(abspath $(BIN))/python' > $@
	chmod +x $@

$(ENGINES)/flink/job-server.jar: flink.pom.xml
	mvn --batch-mode --quiet --file=flink.pom.xml package
	touch $@

# Of the version of Beam that setup.py names.
$(ENGINES)/prism:
	GOBIN=$(abspath $(ENGINES)) go install github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0
