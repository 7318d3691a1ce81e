#!/usr/bin/env bash
# Makes .venv in the project's root and installs the package in it, editable; mends or remakes a broken one.
#
#   bash scripts/setup.sh [EXTRAS]     comma-separated extras of setup.cfg, "plot" by default
#
# PYTHON=/path/to/python3 names the interpreter. Where there is no NVIDIA GPU, torch's CPU build is taken; where there is
# one, a build that its driver and its age allow, tried with a convolution on it.

torch_version=2.13.0 # what a fresh .venv gets; setup.cfg holds what is accepted
cpu_index=https://download.pytorch.org/whl/cpu

set -u
# What another environment has set must not reach this one. Indexes, proxies and certificates stay.
unset CDPATH VIRTUAL_ENV PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_REQUIREMENT PIP_EDITABLE PIP_CONSTRAINT
unset PIP_NO_DEPS PIP_PRE PIP_DRY_RUN PIP_UPGRADE PIP_FORCE_REINSTALL PIP_IGNORE_INSTALLED PIP_NO_BUILD_ISOLATION
unset PIP_LOG PIP_QUIET PIP_VERBOSE
for name in "${!PYTHON@}"; do [ "$name" = PYTHON ] || unset "$name"; done
export PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P) || exit 1
venv=$root/.venv
stamp=$venv/.setup-stamp # written last: the extras, then the fingerprint of what was installed
log=$(mktemp "${TMPDIR:-/tmp}/patchgrow-setup.XXXXXX" 2>/dev/null) || log=/dev/null
ticker=

# ---- Python that the functions below run ----

# Prints the interpreter behind an environment's; fails where it doesn't suit.
suitable='
import os, sys, sysconfig
supported = (3, 10) <= sys.version_info[:2] <= (3, 13) and sys.implementation.name == "cpython"
if not supported or sys.maxsize < 2**32 or sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit(1)
base = getattr(sys, "_base_executable", "") or sys.executable
print(os.path.realpath(base if os.path.exists(base) else sys.executable))
'

# Fails where an installation was cut short or files of one are gone.
undamaged='
import csv, glob, os, sys, sysconfig
site = sysconfig.get_path("purelib")
if os.path.realpath(sys.prefix) != os.path.realpath(sys.argv[1]) or glob.glob(os.path.join(site, "~*")):
    sys.exit(1)
for info in glob.glob(os.path.join(glob.escape(site), "*.dist-info")):
    if not os.path.exists(os.path.join(info, "INSTALLER")):
        sys.exit(1)
    with open(os.path.join(info, "RECORD"), encoding="utf-8", newline="") as record:
        for name, _, size in csv.reader(record):
            if not name.endswith(".pyc"):
                found = os.stat(os.path.join(site, name)).st_size
                if size and int(size) != found:
                    sys.exit(1)
'

# Fails unless torch is there and accepted; a CPU build is not where there is a GPU.
torch_accepted='
import configparser, sys
from importlib.metadata import version
from pip._vendor.packaging.requirements import Requirement
settings = configparser.RawConfigParser()
settings.read(sys.argv[1], encoding="utf-8")
required = [Requirement(line) for line in settings["options"]["install_requires"].strip().splitlines()]
bound = next(requirement.specifier for requirement in required if requirement.name == "torch")
idle = sys.argv[2] == "gpu" and version("torch").endswith("+cpu")
sys.exit(idle or not bound.contains(version("torch"), prereleases=True))
'

# Fails unless torch is of that version and index; what the default index has tells no build.
same_torch='
import sys
from importlib.metadata import version
found, _, build = version("torch").partition("+")
sys.exit([found, build or "default"] != [sys.argv[1], sys.argv[2].rpartition("/")[2]])
'

# Fails unless every card computes a convolution, forward and backward.
convolves='
import sys, torch
for card in range(torch.cuda.device_count()):
    image = torch.ones(1, 1, 8, 8, 8, device="cuda:%d" % card, requires_grad=True)
    kernel = torch.ones(1, 1, 3, 3, 3, device=image.device)
    result = torch.nn.functional.conv3d(image, kernel).sum()
    result.backward()
    if (result.item(), image.grad.sum().item()) != (5832, 5832):
        sys.exit("ERROR: wrong result of a convolution")
sys.exit(0 if torch.cuda.is_available() else "ERROR: no GPU for torch %s" % torch.__version__)
'

# Fails where a package lacks another that it needs. (pip check itself fails, from pip 24 on, at the tags of itk 5.4.7.)
# nnU-Net's networks are installed without timm, which those that are used here don't import.
complete='
import sys
from importlib.metadata import PackageNotFoundError, distributions, version
from pip._vendor.packaging.requirements import Requirement
for package in distributions():
    networks = package.metadata["Name"].replace("_", "-") == "dynamic-network-architectures"
    for need in map(Requirement, package.requires or ()):
        if networks and need.name == "timm":
            continue
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            try:
                have = version(need.name)
            except PackageNotFoundError:
                have = None
            if have is None or not need.specifier.contains(have, prereleases=True):
                sys.exit("ERROR: %s needs %s, got %s" % (package.metadata["Name"], need, have))
'

# ---- talking ----

say() { printf 'setup: %s\n' "$*"; }

die() {
  [ "$log" = /dev/null ] || [ -s "$log" ] || rm -f -- "$log"
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

disk_trouble() { grep -aoiE 'no space left on device|read-only file system|disk quota exceeded|permission denied' "$log" | tail -n 1; }

# die_of WHAT: dies with the reason that the log gives.
die_of() {
  local why
  why=$(disk_trouble)
  [ -n "$why" ] || why=$(grep -aE '(ERROR|[Ee]rror): ' "$log" | tail -n 1 | cut -c 1-300)
  [ -n "$why" ] || why=$(grep -a . "$log" | tail -n 1 | cut -c 1-300)
  [ -s "$log" ] && why="${why:-no reason given} (all of it: $log)"
  die "$1: ${why:-no reason given}"
}

tick() {
  local began=$SECONDS
  while kill -0 $$ 2>/dev/null; do
    sleep 1
    printf '\rsetup: %s ... %d s' "$1" $((SECONDS - began))
  done
}

# step WHAT COMMAND...: runs it with its output in the log, and says how long it took.
step() {
  local what=$1 began=$SECONDS status
  shift
  printf 'setup: %s ...' "$what"
  if [ -t 1 ]; then tick "$what" & ticker=$!; fi
  "$@" >>"$log" 2>&1 </dev/null
  status=$?
  if [ -n "$ticker" ]; then kill "$ticker" && wait "$ticker"; ticker=; fi 2>/dev/null
  [ -t 1 ] && printf '\rsetup: %s ...' "$what"
  if [ $status = 0 ]; then printf ' %d s\n' $((SECONDS - began)); else printf ' no\n'; fi
  return $status
}

# ---- the interpreter and .venv ----

# suits PYTHON: leaves the interpreter behind it in $base.
suits() { base=$("$1" -I -c "$suitable" 2>/dev/null) && [ -n "$base" ]; }

find_python() {
  local name path
  if [ -n "${PYTHON:-}" ]; then base=$named; return; fi
  for name in python3 python3.13 python3.12 python3.11 python3.10; do
    while IFS= read -r path; do
      suits "$path" && return
    done < <(type -aP "$name")
  done
  die "no Python 3.10 to 3.13 found: install one, or name it: PYTHON=/path/to/python3 bash scripts/setup.sh"
}

pip() { "$venv/bin/python" -I -m pip "$@"; }

# Whether .venv can be built upon: of this place, with a Python that suits, a working pip and nothing cut short.
sound() {
  [ -f "$venv/pyvenv.cfg" ] && grep -qF -- "$venv/bin/python" "$venv/bin/pip" && suits "$venv/bin/python" &&
    { [ -z "${PYTHON:-}" ] || [ "$base" = "$named" ]; } &&
    pip --version && "$venv/bin/python" -I -c "$undamaged" "$venv"
} >/dev/null 2>&1

by_venv() { "$base" -I -m venv "$venv"; }
by_other_pip() { "$base" -I -m venv --without-pip "$venv" && "$base" -m pip --python "$venv/bin/python" install pip; }
by_virtualenv() { type -P virtualenv && virtualenv -p "$base" "$venv"; }
by_uv() { type -P uv && uv venv --seed --python "$base" "$venv"; }

empty_venv() {
  local why
  why=$(rm -rf -- "$venv" 2>&1 && mkdir -- "$venv" 2>&1) || die "cannot make .venv: ${why%%$'\n'*}"
}

create() {
  local way
  find_python
  empty_venv
  say "making .venv with $base"
  for way in by_venv by_other_pip by_virtualenv by_uv; do
    "$way" >>"$log" 2>&1 </dev/null && sound && return
    [ -z "$(disk_trouble)" ] || die_of "cannot make .venv"
    empty_venv
  done
  "$base" -I -c 'import ensurepip; ensurepip.version()' 2>/dev/null ||
    die "$base cannot make environments: apt install python3-venv (or name another: PYTHON=...), then run this again"
  die_of "cannot make .venv with $base"
}

# ---- what goes into it ----

has_gpu() {
  local limit=
  [ "$(uname -s)" = Linux ] && type -P nvidia-smi >/dev/null || return 1
  type -P timeout >/dev/null && limit="timeout 20"
  $limit nvidia-smi -L 2>/dev/null | grep '^GPU ' >/dev/null
}

# A line for each card: the driver, and the compute capability, which drivers before 510 don't tell.
cards() {
  nvidia-smi --query-gpu=driver_version,compute_cap --format=csv,noheader 2>/dev/null ||
    nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null
}

# Of the versions of torch and their indexes, the best first; none where the driver is too old for all.
builds() { cards | "$venv/bin/python" -I scripts/torch_builds.py "$torch_version"; }

# install_build VERSION INDEX: without what it needs, which comes with the package's own.
install_build() {
  local index=()
  [ "$2" = default ] || index=(--index-url "$2")
  step "torch $1${index:+ from ${2#https://}}" \
    pip install --no-deps --upgrade --force-reinstall ${index[@]+"${index[@]}"} "torch==$1"
}

install_torch() {
  local version index
  "$venv/bin/python" -I -c "$torch_accepted" "$root/setup.cfg" "$device" 2>/dev/null && return
  if [ "$device" = gpu ] && read -r version index < <(builds); then
    install_build "$version" "$index" && return
    [ -z "$(disk_trouble)" ] || die_of "cannot install torch"
  fi
  if [ "$device $(uname -s)" = "cpu Linux" ]; then
    # Some machines keep a CPU build where their own pip finds it; PyPI has none and says so at once.
    step "torch $torch_version, CPU build, from here" \
      pip install --no-deps --retries 1 --timeout 15 "torch==$torch_version+cpu" && return
    [ -z "$(disk_trouble)" ] || die_of "cannot install torch"
    step "torch $torch_version, CPU build, from download.pytorch.org" \
      pip install --no-deps --retries 1 --timeout 15 --index-url "$cpu_index" "torch==$torch_version+cpu" && return
    [ -z "$(disk_trouble)" ] || die_of "cannot install torch"
    say "no CPU build of torch to be had: taking the default one, with CUDA it has some gigabytes"
  fi
  install_build "$torch_version" default || die_of "cannot install torch"
}

torch_convolves() { "$venv/bin/python" -I -W ignore -c "$convolves"; }

# Takes the next build where a card can't compute with the one that is there; without any, runs are on the CPU.
suit_cards() {
  local version index
  [ "$device" = gpu ] || return 0
  step "a convolution on the GPU" torch_convolves && return
  while read -r -u 8 version index; do
    "$venv/bin/python" -I -c "$same_torch" "$version" "$index" 2>/dev/null && continue
    install_build "$version" "$index" && install_rest && step "a convolution on the GPU" torch_convolves && return
  done 8< <(builds)
  say "there is a GPU that torch can't use (its driver and compute capability: $(cards | head -n 1)): runs are on the" \
    "CPU; a driver of 580 or newer helps from Turing on, one of 525 or newer before"
}

install_rest() {
  local pin=$venv/.setup-constraints
  "$venv/bin/python" -I -c 'from importlib.metadata import version; print("torch==" + version("torch"))' >"$pin" \
    2>>"$log" || die_of "cannot install"
  step "monai-patchgrow[$extras]" pip install -c "$pin" -e ".[$extras]" || die_of "cannot install"
  case ",$extras," in *,test,*) install_networks ;; esac
}

# nnU-Net's networks for the tests, without timm: that brings a torchvision which a CPU build of torch can't import, and
# at which other packages stop.
install_networks() {
  local requirement
  requirement=$(sed -n 's/^ *\(dynamic-network-architectures.*\)$/\1/p' setup.cfg)
  step "$requirement" pip install --no-deps "$requirement" || die_of "cannot install"
}

# The package itself is left out: a slip in its code is no fault of the environment.
works() {
  "$venv/bin/python" -I -c "$complete" && [ -x "$venv/bin/patchgrow" ] && "$venv/bin/python" -I -c 'import ignite, itk, monai, nibabel, torch'
}

# ---- whether anything is to be done ----

# All that the installation depends on, and what is installed. The tools' own settings, last in setup.cfg, are not.
fingerprint() {
  printf '%s\n' "$root" "$(uname -sm)" "torch $torch_version $device"
  sed '/^\[tool:pytest\]/,$d' setup.cfg | cat - setup.py pyproject.toml | cksum
  printf '%s\n' .venv/lib/python*/site-packages/*.dist-info | cksum
}

up_to_date() {
  local have extra
  { read -r have <"$stamp"; } 2>/dev/null || return 1
  for extra in ${extras//,/ }; do
    case ",$have," in *",$extra,"*) ;; *) return 1 ;; esac
  done
  [ "$(tail -n +2 "$stamp")" = "$(fingerprint)" ] && [ -x "$venv/bin/patchgrow" ] &&
    suits "$venv/bin/python" && { [ -z "${PYTHON:-}" ] || [ "$base" = "$named" ]; } &&
    "$venv/bin/python" -I -c "$undamaged" "$venv" 2>/dev/null
}

write_stamp() { { echo "$extras" && fingerprint; } >"$stamp.new" && mv -f -- "$stamp.new" "$stamp"; }

# ---- arguments, lock, work ----

parse_extras() {
  local extra
  extras=${1:-plot}
  [[ $extras =~ ^[a-z]+(,[a-z]+)*$ ]] || die "extras are words with commas between them, got \"$extras\""
  for extra in ${extras//,/ }; do
    sed -n '/^\[options.extras_require\]/,/^$/p' "$root/setup.cfg" | grep -q "^$extra *=" ||
      die "no extra \"$extra\" in setup.cfg"
  done
}

# Two callers with different extras don't undo each other's work.
keep_earlier_extras() {
  local extra have=
  { read -r have <"$stamp"; } 2>/dev/null
  for extra in ${have//,/ }; do
    case ",$extras," in *",$extra,"*) ;; *) extras=$extras,$extra ;; esac
  done
}

lock() {
  type -P flock >/dev/null && exec 9<"$root" || return 0
  flock -n 9
  [ $? = 1 ] || return 0
  say "another set-up is at work here: waiting for it"
  flock 9
}

main() {
  local began=$SECONDS fresh=
  [ $# -le 1 ] || die "usage: bash scripts/setup.sh [EXTRAS]"
  parse_extras "$@"
  if [ -n "${PYTHON:-}" ]; then
    suits "$PYTHON" || die "PYTHON=$PYTHON is no Python 3.10 to 3.13"
    named=$base
  fi
  cd -- "$root" || exit 1
  device=cpu
  if has_gpu; then device=gpu; fi
  lock
  up_to_date && return
  if sound; then keep_earlier_extras; else create; fresh=1; fi
  install_torch
  install_rest
  if ! step "trying it out" works; then
    [ -z "$fresh" ] || die_of "installed, but it doesn't work"
    say "this .venv is damaged: making it anew"
    create
    install_torch
    install_rest
    step "trying it out" works || die_of "installed, but it doesn't work"
  fi
  suit_cards
  write_stamp 2>>"$log" || die_of "cannot finish .venv"
  say "ready after $((SECONDS - began)) s: .venv/bin/patchgrow"
}

main "$@" || exit 1
[ "$log" = /dev/null ] || rm -f -- "$log"
