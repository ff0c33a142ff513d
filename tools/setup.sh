#!/usr/bin/env bash
# Makes .venv from requirements.lock on a machine that has python3, make and the package registries; says what it lacks.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
lock=requirements.lock

say() { printf 'setup: %s\n' "$*" >&2; }
has_library() { ldconfig -p 2>/dev/null | grep -q "$1" || /sbin/ldconfig -p 2>/dev/null | grep -q "$1"; }

python=${PYTHON:-python3}
command -v "$python" >/dev/null || { say "want python3 (3.11 to 3.13) on the path, got none: apt-get install python3"; exit 1; }
"$python" - <<'P' || exit 1
import sys
if not (3, 11) <= sys.version_info[:2] < (3, 14):
    sys.exit(f"setup: want Python 3.11, 3.12 or 3.13, got {sys.version.split()[0]}; name another by PYTHON=/path make setup")
P

# libGL, glib: OpenCV. libegl1, libgl1-mesa-dri: rendering without a screen.
missing=()
has_library libGL.so.1 || missing+=(libgl1)
has_library libglib-2.0.so.0 || missing+=(libglib2.0-0)
has_library libEGL.so.1 || missing+=(libegl1)
compgen -G '/usr/lib*/*/dri/swrast_dri.so' >/dev/null || compgen -G '/usr/lib*/dri/swrast_dri.so' >/dev/null \
    || compgen -G '/usr/lib*/*/libgallium*.so*' >/dev/null || has_library libEGL_nvidia || missing+=(libgl1-mesa-dri)
"$python" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
# The tests open the report in a real browser; what drives it is a node that wants libatomic.
optional=()
command -v chromium >/dev/null || command -v google-chrome >/dev/null || optional=(chromium fonts-dejavu-core)
has_library libatomic.so.1 || optional+=(libatomic1)

if ((${#missing[@]} + ${#optional[@]})); then
    packages=("${missing[@]}" "${optional[@]}")
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing ${packages[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq >/dev/null || say "apt-get update failed; going on with the lists at hand"
        if ! apt-get install -y -qq --no-install-recommends "${packages[@]}" >/tmp/duetflow-apt.$$ 2>&1; then
            cat /tmp/duetflow-apt.$$ >&2
            ((${#missing[@]} == 0)) || { say "could not install ${missing[*]}"; exit 1; }
        fi
        rm -f /tmp/duetflow-apt.$$
    elif ((${#missing[@]})); then
        say "system libraries are missing and this is not root. Run once, then make setup again:"
        say "    sudo apt-get update && sudo apt-get install -y ${packages[*]}"
        exit 1
    else
        say "the report's browser tests will skip here. To have them: sudo apt-get install -y ${optional[*]}"
    fi
fi

stamp=$venv/.lock-sha256
digest=$(sha256sum "$lock" | cut -d' ' -f1)
if [ -x $venv/bin/python ] && [ "$(cat $stamp 2>/dev/null)" = "$digest" ]; then
    exit 0
fi

[ -x $venv/bin/python ] || { say "making $venv"; "$python" -m venv $venv; }
bootstrap=$(mktemp -d)
trap 'rm -rf "$bootstrap"' EXIT
# uv installs the rest an order of magnitude faster than pip; its own version and hashes come from the same lock.
awk '/^[^ ]/ { keep = /^uv==/ } keep' "$lock" > "$bootstrap/uv.txt"
$venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r "$bootstrap/uv.txt"
# sam2 comes as source whose build imports torch: it goes last, into the environment that by then has torch.
awk '/^[^ ]/ { keep = !/^sam2==/ } keep' "$lock" > "$bootstrap/most.txt"
awk '/^[^ ]/ { keep = /^sam2==/ } keep' "$lock" > "$bootstrap/sam2.txt"
# Compiled once here; else, where Python may not write beside its modules, every process compiles them again: seconds each.
say "installing $(grep -c '^[a-z]' "$lock") packages from $lock (several GB the first time)"
export SAM2_BUILD_CUDA=0
$venv/bin/uv pip sync -q --compile-bytecode --python $venv/bin/python --require-hashes "$bootstrap/most.txt"
$venv/bin/uv pip install -q --compile-bytecode --python $venv/bin/python --require-hashes --no-deps --no-build-isolation -r "$bootstrap/sam2.txt"
$venv/bin/python - <<'P'
import cv2, torch, torchvision.ops, sam2.sam2_video_predictor  # noqa: F401, E401
import datasets
from pathlib import Path
here = Path("datasets/__init__.py").resolve()
if Path(datasets.__file__).resolve() != here:
    raise SystemExit(f"setup: want datasets from {here}, got {datasets.__file__}; uninstall PyPI's datasets from .venv")
P
printf '%s\n' "$digest" > $stamp
say "done: $venv"
