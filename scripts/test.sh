#!/usr/bin/env bash
# Makes the environment, then runs every check, also after one has failed, and says at the end which failed.
#
#   bash scripts/test.sh [PYTEST ARGUMENTS]     for example -k growth, -m "not slow", or --cov for the lines not reached
#
# PYTHON=/path/to/python3 names the interpreter; an environment of another one is made anew.

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 1
. scripts/environment.sh
bash scripts/setup.sh plot,test || exit 1

python=.venv/bin/python
failed=()

# check WHAT COMMAND...
check() {
  printf '\n== %s\n' "$1"
  "${@:2}" || failed+=("$1")
}

doctests() {
  "$python" -m pytest --doctest-modules --timeout 300 monai_patchgrow
  local status=$?
  [ $status = 5 ] || return $status # 5: no docstring holds an example
}

used=$("$python" -c 'import platform, torch; print("Python", platform.python_version(), "with torch", torch.__version__)')
echo "checking with $used"

check "ruff check" "$python" -m ruff check .
check "ruff format" "$python" -m ruff format --check .
# mypy takes a[(0, *b)] for a[0, *b], which Python 3.10 has not: there it checks the code as 3.11's.
as_version=$("$python" -c 'import sys; print("3.%d" % max(11, sys.version_info[1]))')
told=$(mktemp) || exit 1
"$python" -m mypy --python-version "$as_version" >"$told" 2>&1 & # beside the doctests, which leave a core free
mypy=$!
check "doctests" doctests
check "mypy" wait "$mypy"
cat -- "$told"
rm -f -- "$told"
# One worker per core, each with whole files, whose fixtures train bundles; threads of more than one would wait for cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
check "tests" "$python" -m pytest --timeout 300 -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder "$@"

echo
if [ ${#failed[@]} -gt 0 ]; then
  printf "failed with $used: %s\n" "${failed[@]}" >&2
  exit 1
fi
echo "all checks passed with $used"
