#!/usr/bin/env bash
# Open or update one issue while the newest run has a regression, and close it when that is gone.
# regression-issue.sh RUN_FOLDER RUN_URL; needs gh, with GH_TOKEN and GH_REPO in the environment.
set -euo pipefail
folder=$1 url=$2 title="quantize-zoo: regression"
if [ ! -f "$folder/results.json" ]; then
  echo "no results: the issue stays as it is"
  exit 0
fi
status=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["exit_status"])' "$folder/results.json")
number=$(gh issue list --state open --search "in:title \"$title\"" --json number --jq '.[0].number // empty')
if [ "$status" = 1 ]; then
  body=$(mktemp)
  { head -c 60000 "$folder/summary.md"; printf '\n\n%s\n' "$url"; } >"$body"
  if [ -n "$number" ]; then
    gh issue comment "$number" --body-file "$body"
  else
    gh issue create --title "$title" --body-file "$body"
  fi
elif [ "$status" = 0 ] && [ -n "$number" ]; then
  gh issue close "$number" --comment "Gone: $url"
fi
