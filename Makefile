# Every target makes what it needs in its own environment, .venv; the system stays untouched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py $(wildcard kernels/native/*.p* kernels/native/formulas/*.pxi kernels/native/*.h kernels/native/levels.py kernels/activations.py kernels/record.py kernels/co*.py kernels/half.py)

.PHONY: report report-quick report-full report-peers sample test lint format bench history verify bits exhaustive docs ptx ptx-sample wheels report-cuda tune info clean help

help: ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed: install the venv module (Debian: apt install python3-venv)"; \
		rm -rf $(VENV); exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip

# One stamp an extra: what is built is built again when its sources change.
$(VENV)/installed-%: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	@touch $@

report: $(VENV)/installed-numba,report,verify ## measure this machine and write reports/index.html (under 5 minutes)
	$(BIN)/python -m kernels.report

report-quick: $(VENV)/installed-numba,report,verify ## the same in under 1 minute
	$(BIN)/python -m kernels.report --quick

report-full: $(VENV)/installed-numba,report,verify ## every axis; says beforehand how long it takes
	$(BIN)/python -m kernels.report --full

test: $(VENV)/installed-dev ## run the tests, on all cores
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadgroup --benchmark-disable

lint: $(VENV)/installed-dev ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/installed-dev ## mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed-dev ## time this commit with asv, and the working tree with pytest-benchmark
	$(BIN)/asv machine --yes
	$(BIN)/asv run --launch-method spawn -E existing:$(BIN)/python --set-commit-hash $$(git rev-parse HEAD) --quick
	$(BIN)/python -m pytest --benchmark-only

RANGE ?= HEAD~3..HEAD

history: $(VENV)/installed-dev ## time the commits of RANGE with asv (about 9 minutes each), judge the steps, write reports/history.html and .asv/html
	$(BIN)/asv machine --yes
	$(BIN)/asv run --launch-method spawn --skip-existing-commits $(RANGE)
	$(BIN)/asv publish
	$(BIN)/python -m kernels.report --history

verify: $(VENV)/installed-dev ## hold every backend to the others and to the mathematics
	$(BIN)/python -m kernels.verify

bits: $(VENV)/installed-dev ## the bits of all levels and compilers over 10^7 inputs of every form (minutes; the tests take 10^6)
	KERNELS_TEST_INPUTS=10000000 $(BIN)/python -m pytest tests/test_bits.py

exhaustive: $(VENV)/installed-dev ## all 2^32 float32 inputs, 10^8 of float64; says how long it takes, goes on where it was stopped
	$(BIN)/python -m kernels.verify --exhaustive --peers all --table

report-peers: $(VENV)/installed-numba,report,verify,peers ## race kernels.fastest against other libraries
	$(BIN)/python -m kernels.report --peers all

sample: $(VENV)/installed-numba,report,verify ## draw the newest finished results as reports/sample and into README.md
	$(BIN)/python -m kernels.report.sample

docs: $(VENV)/installed-report ## write a page for every function, reports/docs/index.html
	$(BIN)/python -m kernels.report.docs

tune: $(VENV)/installed-numba,report,verify ## measure this machine's crossover table
	$(BIN)/python -m kernels.tune

# A group needs no new build of the package, as an extra does.
$(VENV)/group-ptx: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --group ptx
	@touch $@

ptx: $(VENV)/group-ptx ## compile every CUDA kernel to PTX and check it (needs no GPU; half an hour)
	rm -f reports/ptx.jsonl
	KERNELS_PTX=all KERNELS_PTX_ROWS=reports/ptx.jsonl $(BIN)/python -m pytest -m ptx tests/test_cuda_ptx.py tests/test_cuda_driver.py

ptx-sample: $(VENV)/group-ptx ## the same of 20 kernels, others every day, named
	KERNELS_PTX=20 $(BIN)/python -m pytest --verbose -m ptx tests/test_cuda_ptx.py tests/test_cuda_driver.py

# What goes along to a GPU; with peers-cuda the libraries that the report compares with.
GPU_EXTRAS ?= cuda13,numba,report,verify

wheels: $(BIN)/python ## fill wheels/ for a machine with a GPU and without network, of the same Python; take the folder there
	$(BIN)/python -m pip wheel --quiet --wheel-dir wheels ".[$(GPU_EXTRAS)]"

report-cuda: ## there: install from wheels/ into an environment of its own and measure the GPU
	$(PYTHON) -m venv .venv-cuda
	.venv-cuda/bin/python -m pip install --quiet --no-index --find-links wheels "activation-kernels[$(GPU_EXTRAS)]"
	cd reports && ../.venv-cuda/bin/python -m kernels.report --device cuda --output .

info: $(VENV)/installed-numba,report,verify ## machine, levels, threads, backends
	$(BIN)/python -m kernels.info

clean: ## remove everything that can be made again
	rm -rf $(VENV) .venv-cuda wheels build dist *.egg-info .asv .benchmarks .pytest_cache .ruff_cache .hypothesis
	rm -f kernels/native/*.so kernels/native/*.c kernels/native/loops_*.pyx kernels/native/row_loops.pxi \
		kernels/native/build_report.json
