# make submission    raw competition folder -> logs/<run>/submission.zip; without DATA: the sample.
#                    PROFILE=sample|cpu|full DATA=folder RECIPES=llama RUN_DIR=logs/mine OVERRIDES="--epochs 30"
# make motion        the study of motion prediction, notebook 05
# make notebook      Jupyter on copies of the numbered notebooks, in logs/notebooks
# make test          every test
# make lint          style
# make bench         the benchmark tables; some of them: NAMES="latency store_build"
# make rehearsal     PROFILE=full on 94,477 synthetic clips, killed twice; an hour on two cores
# make docs          the pictures and pages of docs/, from the sample's run
# make check-runtime RUN_DIR's model.tflite in the competition's own runtime, where Python 3.9 is
# make video-env     .venv-video, for landmarks from video: python -m src.video
# make live          a page with the camera, landmarks and the five likeliest signs, by RUN_DIR's model
# make kaggle-env    .venv-kaggle, Python 3.12 with what Kaggle's image has, for some of the tests
#
# All of them first make .venv from requirements.txt, once. Every parameter of the notebooks can be
# set: .venv/bin/python -m src.notebooks --help lists them. They stand behind make, as in the first
# lines, and not in the environment.

# One in the environment is refused: it would be overlooked, today or when it is still there tomorrow.
EXPORTED := $(strip $(foreach name,PROFILE DATA RECIPES RUN_DIR OVERRIDES,$(if $(filter environment,$(origin $(name))),$(name))))
ifneq ($(and $(EXPORTED),$(filter submission motion docs check-runtime live,$(MAKECMDGOALS))),)
$(error expected $(EXPORTED) behind make, as in `make submission RECIPES=llama`, found in the environment; move it, or say `unset $(EXPORTED)`)
endif

PYTHON ?= python3
PROFILE := sample
RUN_DIR = logs/$(PROFILE)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# What the command line sets goes to the notebooks, which refuse what they do not know.
OWN := PYTHON NAMES
SET = PROFILE RUN_DIR $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
quoted = '$(subst ','\'',$(1))'
GIVEN = $(foreach name,$(filter-out $(OWN),$(sort $(SET))),-p $(name) $(call quoted,$($(name))))

COPIES := $(patsubst %,logs/%,$(wildcard notebooks/*.ipynb))

.PHONY: help docs submission motion test lint bench rehearsal notebook check-runtime video-env live kaggle-env clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

submission: $(INSTALLED)
	$(BIN)/python -m src.notebooks $(GIVEN)

motion: $(INSTALLED)
	$(BIN)/python -m src.notebooks 05 $(GIVEN)

# Two processes of one thread each: small tensors gain nothing from threads, and each process holds
# torch and TensorFlow (4 GiB). A file's tests stay together, for what they share is made once.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/nbstripout --verify --keep-id --extra-keys "metadata.papermill cell.metadata.papermill" notebooks/*.ipynb

bench: $(INSTALLED)
	$(BIN)/python -m tests.benchmarks $(NAMES)

rehearsal: $(INSTALLED)
	$(BIN)/python -m tests.rehearsal

# Outputs land in the copies. A copy is made anew when the notebook itself has changed.
notebook: $(INSTALLED) $(COPIES)
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/logs/notebooks

logs/notebooks/%.ipynb: notebooks/%.ipynb
	@mkdir -p $(@D)
	cp $< $@

docs: submission
	$(BIN)/python -m docs.pictures $(call quoted,$(RUN_DIR))
	$(BIN)/python -m docs.pages $(call quoted,$(RUN_DIR))

check-runtime: $(INSTALLED)
	$(BIN)/python -m src.submission.check_runtime $(call quoted,$(RUN_DIR))

video-env: $(INSTALLED)
	$(BIN)/python -m src.video.environment

live: $(INSTALLED)
	$(BIN)/python -m src.video live --run $(call quoted,$(RUN_DIR))

kaggle-env: $(INSTALLED)
	$(BIN)/python -m src.kaggle environment

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 12) else f"error: Python 3.11 or 3.12 is needed, {sys.executable} is {v[0]}.{v[1]}; run: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
