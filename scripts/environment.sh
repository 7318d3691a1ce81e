#!/usr/bin/env bash
# Sourced by the scripts that run Python. What the caller has set is kept.

# glibc hands large blocks back after each use; kept, training on a CPU is several times faster.
export MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_:-4294967296}" # bytes: 4 GiB
export MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_:-4294967296}"
export MALLOC_TOP_PAD_="${MALLOC_TOP_PAD_:-268435456}"

# Threads that wait for each other sleep: spinning ones hold up whatever else runs on the same cores, loader workers
# among them, and that holds up the training.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"

# Another environment's modules have no place in ours.
unset PYTHONPATH PYTHONHOME
export PYTHONNOUSERSITE=1
