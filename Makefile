# make submission    raw competition folder -> logs/<run>/submission.zip; without DATA: the sample
# make test          every test;  make lint: style;  make bench [NAMES=...]: the benchmark tables
# make rehearsal     PROFILE=full on 94,477 synthetic clips, killed twice; an hour and a half
# make notebook      Jupyter on the numbered notebooks
# make check-runtime RUN_DIR's model.tflite in the competition's own runtime, where Python 3.9 is
# make video-env     .venv-video, for landmarks from video: python -m src.video
# make kaggle-env    .venv-kaggle, Python 3.12 with what Kaggle's image has, for one of the tests
#
# All of them first make .venv from requirements.txt, once.

PYTHON ?= python3
PROFILE ?= sample
RUN_DIR ?= logs/$(PROFILE)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# What the command line sets goes to the notebooks, which refuse what they do not know.
OWN := PYTHON NAMES
SET = PROFILE RUN_DIR $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
GIVEN = $(foreach name,$(filter-out $(OWN),$(sort $(SET))),-p $(name) '$(subst ','\'',$($(name)))')

.PHONY: submission motion test lint bench rehearsal notebook check-runtime video-env kaggle-env clean

submission: $(INSTALLED)
	$(BIN)/python -m src.notebooks $(GIVEN)

motion: $(INSTALLED)
	$(BIN)/python -m src.notebooks 05 $(GIVEN)

# Two processes of one thread each: small tensors gain nothing from threads, and each process holds
# torch and TensorFlow (4 GiB). A file's tests stay together, for what they share is made once.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/nbstripout --verify --keep-id --extra-keys "metadata.papermill cell.metadata.papermill" notebooks/*.ipynb

bench: $(INSTALLED)
	$(BIN)/python -m tests.benchmarks $(NAMES)

rehearsal: $(INSTALLED)
	$(BIN)/python -m tests.rehearsal

notebook: $(INSTALLED)
	$(BIN)/jupyter lab --notebook-dir notebooks

check-runtime: $(INSTALLED)
	$(BIN)/python -m src.submission.check_runtime $(RUN_DIR)

video-env: $(INSTALLED)
	$(BIN)/python -m src.video.environment

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
