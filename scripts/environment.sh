#!/usr/bin/env bash
# Creates .venv from requirements.txt, or brings it up to date; quick and silent where nothing is to do.
#
# .venv/locked holds the checksum of the lock that was installed and is written last, so that an environment that was
# interrupted half-way, or belongs to an older lock, is recognised and made anew. .venv/project does the same for
# petlesion and compat/pydicom_seg, which are installed in place: edits of their code need no reinstallation.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
    local name PATH=${PATH//"$PWD/.venv/bin:"/} # not the one to be removed
    for name in ${PYTHON:-python3.11 python3}; do
        if "$name" -c 'import sys, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    echo "no Python 3.11 with its venv module found (tried: ${PYTHON:-python3.11 python3}): install it, e.g. Debian's" \
        "python3.11-venv, or name it: make PYTHON=/path/to/python3.11" >&2
    return 1
}

pip() {
    .venv/bin/python -m pip --disable-pip-version-check -qq "$@"
}

exec 9>.venv.lock
flock --nonblock 9 || { echo "Another make is creating .venv: waiting for it." && flock 9; }

locked=$(grep == requirements.txt | sha256sum)
if ! .venv/bin/python -c '' 2>/dev/null || [ "$(cat .venv/locked 2>/dev/null)" != "$locked" ]; then
    python=$(find_python)
    echo "Creating .venv: $(grep -c == requirements.txt) packages, 8 GB, some minutes."
    rm -rf .venv
    "$python" -m venv .venv
    pip install "$(grep ^pip== requirements.txt)" # twice as fast as the pip that comes with Python 3.11
    # --no-deps: the lock is complete, and what overrides.txt dropped must stay out.
    # --no-compile: modules are compiled when they are first imported, and most never are.
    pip install --no-deps --no-compile -r requirements.txt
    echo "$locked" >.venv/locked
fi

project=$(cat pyproject.toml compat/*/pyproject.toml | sha256sum)
if [ "$(cat .venv/project 2>/dev/null)" != "$project" ]; then
    pip install --no-deps --no-build-isolation --editable . --editable compat/pydicom_seg
    echo "$project" >.venv/project
fi
