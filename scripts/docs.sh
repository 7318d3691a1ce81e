#!/usr/bin/env bash
# Builds the documentation into site/; a broken link or a missing name fails the build. Open site/index.html
# (its search needs a server: use `serve`).
#
#   bash scripts/docs.sh [serve]     serve: build anew at each change, and show it at http://127.0.0.1:8000
#
# It makes .venv-docs of its own from the extra "docs" of setup.cfg: the pages are made from the source as it stands,
# so neither torch nor the package is installed. PYTHON=/path/to/python3 names the interpreter (3.10 or later).

set -u
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P) || exit 1
cd -- "$root" || exit 1
venv=.venv-docs
stamp=$venv/.docs-stamp # written last: what is installed

# The requirements of the extra, one a line.
wanted=$("${PYTHON:-python3}" -I -c '
import configparser
settings = configparser.RawConfigParser()
settings.read("setup.cfg", encoding="utf-8")
print(settings["options.extras_require"]["docs"].strip())
') || { echo "docs: no Python that runs: name one, PYTHON=/path/to/python3" >&2; exit 1; }

if [ "$(cat -- "$stamp" 2>/dev/null)" != "$wanted" ] || ! "$venv/bin/python" -I -c 'import mkdocs, mkdocstrings' 2>/dev/null; then
  echo "docs: making $venv"
  rm -rf -- "$venv"
  "${PYTHON:-python3}" -I -m venv "$venv" || exit 1
  requirements=()
  while IFS= read -r line; do requirements+=("$line"); done <<<"$wanted"
  "$venv/bin/python" -I -m pip install --quiet --disable-pip-version-check "${requirements[@]}" || exit 1
  printf '%s\n' "$wanted" >"$stamp"
fi

export NO_MKDOCS_2_WARNING=1 # the extra asks for mkdocs 1
if [ "${1:-build}" = serve ]; then exec "$venv/bin/mkdocs" serve --strict; fi
"$venv/bin/mkdocs" build --strict --clean --site-dir site || exit 1
echo "docs: open $root/site/index.html"
