# Each target does its own set-up; a fresh machine needs nothing but Python >= 3.10 with venv.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DOCS_STAMP := .venv/.installed-docs

.PHONY: forecast dna test lint docs examples kernels torture install clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

# One thread: two contended ones are many times slower where something else holds a core (docs/lab_notes.md).
forecast: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/titans-ts forecast builtin:weather --horizon 24 --backtest-days 14 --output out/forecast.csv --plot out/forecast.png

# Coding windows of a chloroplast (docs/dna.md).
dna: $(STAMP)
	rm -rf out/dna
	$(BIN)/python -W ignore docs/dna_example.py out/dna
	OMP_NUM_THREADS=1 $(BIN)/titans-ts classify out/dna/train.csv --test out/dna/test.csv --id id --group region --reverse-complement augment --max-epochs 16 --model out/dna/model --output out/dna/found.csv --plot docs/dna_report.png
	OMP_NUM_THREADS=1 $(BIN)/titans-ts dna effects --model out/dna/model out/dna/gene.fa --both-strands --output out/dna/psbM.csv --plot docs/dna_map.png --logo docs/dna_logo.png

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -q

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

# The site, in out/site; a dead link or a name that is not there ends it. Only the set-up uses the network.
docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(DOCS_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $(DOCS_STAMP)

# The gallery: seconds of each program; its pictures go to out/examples and, small, to docs/gallery.
examples: $(STAMP)
	mkdir -p out
	for file in examples/*.py; do \
	  start=$$(date +%s); OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/python -W ignore $$file > out/example.log 2>&1 || { cat out/example.log; exit 1; }; \
	  echo "$$(( $$(date +%s) - start )) s  $$file"; \
	done
	$(BIN)/python docs/site/gallery.py

# Every Triton kernel for every target, no GPU needed; minutes.
kernels: $(STAMP)
	$(BIN)/python -m titans_kernels.bench.aot --jobs 2 --csv benchmarks/kernels_aot.csv

# Bad inputs, outputs in the way, signals, tampered files, full disks: each a process of its own; ten CPU minutes.
torture: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m benchmarks.torture --csv out/torture.csv --page docs/reliability.md

clean:
	rm -rf .venv out
