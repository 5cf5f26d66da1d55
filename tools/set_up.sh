#!/bin/sh
# Bring .venv to what requirements.lock pins, with the project itself editable. `make` calls this from the project's
# root with PYTHON, UV_VERSION, BIN, CUDA and, where they are wanted, CPU=1 and WHEELHOUSE.
set -eu

# The stamp is removed first and written last: where it is missing, .venv may be half a set-up and is made anew. It
# holds a 1 where PyTorch is the CPU build, which later set-ups keep.
stamp=.venv/ready
if [ -e $stamp ]; then
    CPU=$(cat $stamp)
else
    python=$("$PYTHON" -c '
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    sys.exit("found Python " + sys.version.split()[0] + " at " + sys.executable)
sys.stdout.write(sys.executable)') || {
        echo "The course wants Python 3.11 to 3.14. Say which one to use, for example: make PYTHON=python3.12" >&2
        exit 1
    }
    # Elsewhere PyTorch is a CPU build anyway, or one for Apple's GPUs.
    if [ "$(uname)" != Linux ]; then CPU=; fi
    if [ "${CPU:-}" = 1 ]; then
        echo "Setting up .venv; the first time downloads some 550 MB."
    else
        echo "Setting up .venv; the first time downloads up to 3.3 GB, most of it CUDA, which CPU=1 leaves out."
    fi
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
    [ -x "$uv" ] || "$BIN/python" -m pip install --quiet --disable-pip-version-check "$@" "uv==$UV_VERSION"
fi

# The CPU builds lie in PyTorch's own index, at the same versions with +cpu; the lock has hashes for the others alone.
lock=requirements.lock
if [ "${CPU:-}" = 1 ]; then
    builds=$(sed -n -E 's/^(torch|torchvision)==([^ ]+).*/\1==\2+cpu/p' $lock)
    # shellcheck disable=SC2086  # two words, one for each package
    if "$uv" pip install --python .venv "$@" --only-binary :all: --torch-backend cpu --no-deps $builds; then
        lock=.venv/cpu.lock
        sed -E "$CUDA" requirements.lock >$lock
    else
        echo "PyTorch's CPU build cannot be had here (above stands why); the ordinary build follows, some 3.3 GB." >&2
        CPU=
    fi
fi
"$uv" pip install --python .venv "$@" --only-binary :all: --require-hashes --no-deps --requirements $lock
"$uv" pip install --python .venv "$@" --no-deps --editable .
echo "${CPU:-}" >$stamp
