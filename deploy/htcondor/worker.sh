#!/bin/sh
# glitch.env sets DATABASE_URL, REDIS_URL, GLITCH_STORAGE_URL and AWS_...; only its owner may read it.
set -eu
set -a
. ./glitch.env
set +a
export GLITCH_DATA_DIR="${_CONDOR_SCRATCH_DIR:-$PWD}/data" OMP_NUM_THREADS=1
mkdir -p "$GLITCH_DATA_DIR"
exec glitch-discovery worker --until-idle --idle-s 600
