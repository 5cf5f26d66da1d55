# The course with PyTorch's CPU build, in JupyterLab on port 8888: `make image` builds it and says how to start it.
FROM python:3.12-slim AS base
# hadolint ignore=DL3008  # Debian keeps no older versions that could be pinned
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 learner && install --directory --owner learner /course
WORKDIR /course

# What .devcontainer/ opens in an editor: the clone comes from outside, and is set up there.
FROM base AS editor
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/*
USER 1000

FROM base AS course
USER 1000
# First what seldom changes: a new word in a lesson downloads nothing again.
COPY --chown=learner Makefile pyproject.toml requirements.lock LICENSE ./
COPY --chown=learner tools/set_up.sh tools/
RUN mkdir course_lib my && touch README.md course_lib/__init__.py \
    && UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1 make CPU=1 .venv/ready
COPY --chown=learner . .
# The files that were just copied may be younger than the set-up, which is up to date all the same.
RUN touch .venv/ready \
    && mkdir ~/.jupyter \
    && echo '{"ServerApp": {"ip": "0.0.0.0", "open_browser": false}}' > ~/.jupyter/jupyter_server_config.json
# All that a learner makes or downloads lies in one place, which a volume keeps.
ENV COURSE_DATA=/course/my/data COURSE_PROGRESS=/course/my/progress
EXPOSE 8888
CMD ["make", "lab"]
