#!/usr/bin/env bash
# Push the folder baselines/ of this checkout: to a branch of its own with a pull request, or to the branch itself.
# accept-baselines.sh pull-request|commit BRANCH REASON RUN_URL; needs gh, with GH_TOKEN and GH_REPO in the environment.
set -euo pipefail
way=$1 branch=$2 reason=$3 url=$4
git add --all --force baselines
if git diff --cached --quiet; then
  echo "the baselines are those of the repository"
  exit 0
fi
title="Accept baselines: $reason"
git -c user.name="github-actions[bot]" -c user.email="41898282+github-actions[bot]@users.noreply.github.com" \
  commit --quiet --message "$title"
case $way in
  commit) git push origin "HEAD:refs/heads/$branch" ;;
  pull-request)
    proposed="quantize-zoo/baselines-${url##*/}"
    git push origin "HEAD:refs/heads/$proposed"
    gh pr create --base "$branch" --head "$proposed" --title "$title" --body "Accepted in $url"
    ;;
  *)
    echo "pull-request or commit, not $way" >&2
    exit 2
    ;;
esac
