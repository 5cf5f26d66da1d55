# The course's commands; `make` alone lists them. Those that need .venv set it up first, once. Settings:
#   PYTHON=python3.12      which Python .venv is made from; to change it later, remove .venv
#   WHEELHOUSE=wheelhouse  install from this folder, which `make wheelhouse` fills, without a network
#   UPGRADE=--upgrade      let `make lock` move every pin to the newest version that fits
#   SUBMISSIONS, OUT       what `make grade` grades, and where to; OPTIONS="--jobs 4 ..." are the command's others
#   EXERCISE, SETTINGS     what `make gradescope` is for: EXERCISE=04_straight_through SETTINGS=grading.toml

PYTHON ?= python3
UV_VERSION := 0.13.6
BIN := $(if $(filter Windows_NT,$(OS)),.venv/Scripts,.venv/bin)
UV = $(shell command -v uv || echo $(BIN)/uv)
READY := .venv/ready
NBGRADER := .venv/nbgrader-ready
export PYTHON WHEELHOUSE UV_VERSION BIN
# A PyTorch thread that waits spins, unless told to sleep. With as many threads as cores, and anything else at work on
# the machine, spinning makes training up to ten times slower.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help course test lab exercises exercises-check check-proof grade gradescope bench outputs lock wheelhouse clean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s%s\n", $$1, $$2 }' Makefile

course: $(READY) ## run every lesson and write the course as pages, build/course/index.html
	@$(BIN)/python -m course_lib.pages

# The toy lessons, 01 to 06, must give the committed outputs again; in the lessons that train, only the cells tagged
# nbval-check-output. Solutions must run. Status 5 says that there was nothing to collect. Two processes with a thread
# each do more than one with two; conftest.py says what stays together.
NBVAL = $(BIN)/python -m pytest --nbval-current-env --nbval-cell-timeout=600
TWO = --numprocesses 2 --dist loadscope
test: export COURSE_PROGRESS = off# the learner's own is left alone
test: $(READY) $(NBGRADER) ## run the tests, then every lesson against its committed outputs, and every solution
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests $(TWO)
	$(NBVAL) --nbval notebooks $(TWO) --ignore-glob='notebooks/[!0]*' --ignore-glob='notebooks/0[!1-6]*' || test $$? -eq 5
	OMP_NUM_THREADS=1 $(NBVAL) --nbval-lax notebooks solutions $(TWO) --ignore-glob='notebooks/0[1-6]*' || test $$? -eq 5

exercises: $(READY) ## make exercises/ anew from solutions/, except where somebody worked in them
	$(BIN)/python tools/exercises.py

exercises-check: export COURSE_PROGRESS = off
exercises-check: $(READY) ## test the exercises: stubs, solutions, known mistakes; a minute, part of `make test`
	$(BIN)/python -m pytest tests/test_exercises.py

check-proof: export CHECK_SEEDS ?= 100
check-proof: $(READY) ## test the checks on 100 draws of inputs each, an hour on one core
	$(BIN)/python -m pytest tests/test_proof.py

# In a container one is root, which Jupyter refuses unless told.
lab: $(READY) ## open JupyterLab at the first lesson
	$(BIN)/python -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) --ServerApp.root_dir=. notebooks/01_*.ipynb

grade: $(READY) ## grade a class: make grade SUBMISSIONS=folder OUT=folder; docs/instructors.md tells how
	@$(if $(and $(SUBMISSIONS),$(OUT)),,echo "Say what to grade: make grade SUBMISSIONS=folder OUT=folder" >&2; exit 2)
	@$(BIN)/python -m course_lib.grade "$(SUBMISSIONS)" --out "$(OUT)" $(OPTIONS)

gradescope: $(READY) ## build the autograder for Gradescope: make gradescope EXERCISE=04_straight_through
	@$(if $(EXERCISE),,echo "Say which exercise: make gradescope EXERCISE=04_straight_through" >&2; exit 2)
	@$(BIN)/python tools/gradescope_zip.py build/gradescope.zip $(UV_VERSION) $(addprefix --exercise ,$(EXERCISE)) \
	    $(if $(SETTINGS),--settings "$(SETTINGS)")

bench: export OMP_WAIT_POLICY = ACTIVE# it wants the machine to itself
bench: $(READY) $(NBGRADER) ## measure layer, training and grader, about half an hour on two cores, into benchmarks/RESULTS.md
	$(BIN)/python benchmarks/run.py

outputs: $(READY) ## run every lesson and keep its outputs in the notebook, to be committed
	$(BIN)/python -m nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False \
	    --ExecutePreprocessor.coalesce_streams=True notebooks/*.ipynb

COMPILE = "$(UV)" pip compile pyproject.toml $(UPGRADE) --quiet --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url
lock: $(READY) ## write the two .lock files and environment.yml from pyproject.toml, keeping the pins that still fit
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --output-file nbgrader.lock --extra nbgrader --constraint requirements.lock
	$(BIN)/python tools/conda_environment.py > environment.yml

wheelhouse: $(READY) ## download what an offline machine with this system and this Python needs, into wheelhouse/
	"$(UV)" tool run --python $(BIN)/python pip download --dest wheelhouse --only-binary :all: \
	    --require-hashes --requirement requirements.lock
	"$(UV)" tool run --python $(BIN)/python pip download --dest wheelhouse --only-binary :all: \
	    uv==$(UV_VERSION) uv_build==$(UV_VERSION)

clean: ## remove what was built; data/, .venv/ and wheelhouse/ stay
	rm -rf build .hypothesis .pytest_cache

$(READY): requirements.lock pyproject.toml
	@sh tools/set_up.sh

# One test alone needs nbgrader. Where it cannot be installed, without a network for instance, that test is skipped.
$(NBGRADER): nbgrader.lock $(READY)
	@"$(UV)" pip install --quiet --python .venv $(if $(WHEELHOUSE),--no-index --find-links "$(WHEELHOUSE)") \
	    --only-binary :all: --require-hashes --requirements nbgrader.lock && touch $@ \
	    || echo "nbgrader cannot be installed here; what needs it is not tested"
