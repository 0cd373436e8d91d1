# Two commands do everything: `make demo` and `make test`.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
RUN := runs/demo

.PHONY: venv demo test test-fast lowest lint docs bench bench-methods bench-time bench-prescription bench-mt-slvr bench-few-labels bench-jets bench-conserved bench-cross-modal bench-emoji bench-audio torture clean

venv: .venv/ready

.venv/ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# The main job on real images: pretrain, evaluate, report.
demo: .venv/ready
	@PYTHON=$(BIN)/python TWOFOLD=$(BIN)/twofold RUN=$(RUN) sh scripts/demo.sh

test: .venv/ready lint
	$(BIN)/python -m pytest

test-fast: .venv/ready
	$(BIN)/python -m pytest -m 'not slow'

# The tests with the lowest version of each dependency that pyproject.toml allows. torch 2.9 warns of
# how it reads its own graphs.
lowest: .venv-lowest/ready
	.venv-lowest/bin/python -m pytest -m 'not slow' -W 'ignore:The given buffer is not writable'

# A newer pyparsing warns of how matplotlib 3.10 calls it.
.venv-lowest/ready: pyproject.toml scripts/lowest.py
	test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	$(PYTHON) scripts/lowest.py > .venv-lowest/pins.txt
	.venv-lowest/bin/python -m pip install --quiet --constraint .venv-lowest/pins.txt --editable '.[dev]' 'pyparsing<3.3'
	touch $@

lint: .venv/ready
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/mypy

# The pages of docs/ as a site in site/, to be opened from there; any warning is an error.
docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Peers live in an environment of their own; twofold itself is measured from .venv.
bench: .venv/ready .venv-bench/ready
	$(BIN)/python benchmarks/augment.py
	$(BIN)/python benchmarks/jet_views.py
	$(BIN)/python benchmarks/audio_views.py
	$(BIN)/python benchmarks/losses.py
	$(BIN)/python benchmarks/knn.py
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/ways.py
	$(BIN)/python benchmarks/threads.py
	$(BIN)/python benchmarks/allocation.py
	$(BIN)/python benchmarks/decode.py
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/parity.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/precision.py
	$(BIN)/python benchmarks/goals.py

# Ten methods and four of lightly's, three seeds of three CPU minutes each; it may be stopped and
# goes on where it was.
bench-methods: .venv/ready .venv-bench/ready
	$(BIN)/python benchmarks/methods.py --peers lightly --jobs 2

# How long SimCLR takes to be as good as lightly's after ten minutes, on gray and coloured images,
# and what each part of the recipe for short budgets is worth; it goes on, too.
bench-time: .venv/ready .venv-bench/ready
	$(BIN)/python benchmarks/time_to_accuracy.py --alone --jobs 2

# What each word does to each of eight augmentations, and the worked example; it goes on, too.
bench-prescription: .venv/ready
	$(BIN)/python benchmarks/worked_example.py --jobs 2
	$(BIN)/python benchmarks/prescription.py --jobs 2

# Adapters and balancers for two tasks at once, three seeds of each; it goes on, too.
bench-mt-slvr: .venv/ready
	$(BIN)/python benchmarks/mt_slvr.py --jobs 2

# 1 and 10 % of the labels after pretraining, and a student of the result; it goes on, too.
bench-few-labels: .venv/ready
	$(BIN)/python benchmarks/few_labels.py --jobs 2

# Simulated jets beside what they should be like (it fails if they are not), what pretraining is
# worth for them, and which augmentations help; it goes on, too.
bench-jets: .venv/ready
	$(BIN)/python benchmarks/jets_physics.py
	$(BIN)/python benchmarks/jets.py --jobs 2
	$(BIN)/python benchmarks/jets_augmentations.py --jobs 2

# What is conserved along a pendulum's orbits, found without labels.
bench-conserved: .venv/ready
	$(BIN)/python benchmarks/conserved.py --jobs 2
	$(BIN)/python benchmarks/conserved_pictures.py --jobs 2
	$(BIN)/python benchmarks/conserved_beyond.py --jobs 2

# Pictures that find their states, and states their pictures.
bench-cross-modal: .venv/ready
	$(BIN)/python benchmarks/cross_modal.py --jobs 2

# What drawings by several artists have in common, and whether the artist can be told.
bench-emoji: .venv/ready
	$(BIN)/python benchmarks/emoji.py --jobs 2

# MT-SLVR on notes, words of a synthesiser and recorded words; it goes on, too.
bench-audio: .venv/ready
	$(BIN)/python benchmarks/audio.py --jobs 2

# What twofold promises, tried hard: 50 kills, all tests of trust, each parser fuzzed
# for a minute (where atheris is installed), two hours of training.
torture: .venv/ready
	$(BIN)/python benchmarks/torture.py

.venv-bench/ready:
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet torch torchvision lightly==1.6.0 pytorch-metric-learning==2.8.1 librosa lazy-loader
	touch $@

clean:
	rm -rf .venv .venv-bench .venv-lowest runs site .pytest_cache .mypy_cache .ruff_cache
