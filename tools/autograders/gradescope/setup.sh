#!/usr/bin/env bash
# Gradescope runs this once, as root, when it builds the image: Python, the locked packages, bubblewrap.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

apt-get update
apt-get install -y --no-install-recommends bubblewrap libseccomp2 python3-venv
python3 -m venv /opt/uv
/opt/uv/bin/pip install --quiet "uv==$(cat uv-version)"

# Where everybody may read: answers run as nobody.
UV_PYTHON_INSTALL_DIR=/opt/python /opt/uv/bin/uv python install 3.12
UV_PYTHON_INSTALL_DIR=/opt/python /opt/uv/bin/uv venv --python 3.12 /opt/course
/opt/uv/bin/uv pip install --python /opt/course --only-binary :all: --require-hashes --requirements requirements.lock
chmod -R go-rwx .  # the checks
