#!/usr/bin/env bash
# PrairieLearn starts this in a container for each submission. GRADE and COURSE_PYTHON are for trying it elsewhere.
set -euo pipefail
root=${GRADE:-/grade}
cd "$root/tests"
chmod -R go-rwx .  # the checks: answers run as nobody
PYTHONPATH=. exec "${COURSE_PYTHON:-python3}" -m course_lib.grade.service \
    prairielearn "$root/student" "$root/results/results.json"
