#!/usr/bin/env bash
# What a pull request is held against: the baselines that its base branch has committed, or else a run of the base branch.
# base-branch.sh FOLDER MATRIX BASELINES QUANTIZE_ZOO [ARGUMENT ...]; FOLDER is a checkout of the base branch, MATRIX and
# BASELINES are paths in it, the arguments are the run's.
set -euo pipefail
base=$1 matrix=$1/$2 baselines=$1/$3 command=$4
shift 4
if [ -f "$baselines/baselines.json" ]; then
  "$command" baseline import "$baselines"
elif [ -f "$matrix" ]; then
  # Its summary and annotations are not the pull request's. A cell that fails there has nothing to hold against.
  env -u GITHUB_STEP_SUMMARY -u GITHUB_ACTIONS "$command" run "$matrix" "$@" || echo "the base branch's run: exit status $?"
  "$command" baseline accept --reason "the base branch" || echo "nothing of the base branch can be held against"
else
  echo "the base branch $base has no matrix $matrix: nothing to hold against"
fi
