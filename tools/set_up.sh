#!/bin/sh
# Bring .venv to what requirements.lock pins, with the project itself editable. `make` calls this from the project's
# root with PYTHON, UV_VERSION, BIN and, to install without a network, WHEELHOUSE.
set -eu

# The stamp is removed first and written last: where it is missing, .venv may be half a set-up and is made anew.
stamp=.venv/ready
if [ ! -e $stamp ]; then
    python=$("$PYTHON" -c '
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    sys.exit("found Python " + sys.version.split()[0] + " at " + sys.executable)
sys.stdout.write(sys.executable)') || {
        echo "The course wants Python 3.11 to 3.14. Say which one to use, for example: make PYTHON=python3.12" >&2
        exit 1
    }
    echo "Setting up .venv; the first time downloads up to 3 GB, most of it PyTorch."
    rm -rf .venv
    if command -v uv >/dev/null; then
        uv venv --quiet --no-python-downloads --python "$python" .venv
    else
        "$python" -m venv .venv
    fi
fi
rm -f $stamp

set --
if [ -n "${WHEELHOUSE:-}" ]; then set -- --no-index --find-links "$WHEELHOUSE"; fi

uv=uv
if ! command -v uv >/dev/null; then
    uv=$BIN/uv
    [ -x "$uv" ] || "$BIN/python" -m pip install --quiet "$@" "uv==$UV_VERSION"
fi
"$uv" pip install --python .venv "$@" --only-binary :all: --require-hashes --requirements requirements.lock
"$uv" pip install --python .venv "$@" --no-deps --editable .
touch $stamp
