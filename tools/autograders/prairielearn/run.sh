#!/usr/bin/env bash
# PrairieLearn starts this as root, for each submission, in a container of the course's image (`make image`). GRADE and
# COURSE_PYTHON are for trying it elsewhere.
set -euo pipefail
root=${GRADE:-/grade}
cd "$root/tests"
chmod -R go-rwx . || true  # the checks: answers run as nobody
PYTHONPATH=. exec "${COURSE_PYTHON:-/course/.venv/bin/python}" -m course_lib.grade.service \
    prairielearn "$root/student" "$root/results/results.json"
