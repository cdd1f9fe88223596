#!/usr/bin/env bash
# One comment of a pull request with a run's summary: updated where there is one already.
# comment.sh NUMBER SUMMARY RUN_URL; needs gh, with GH_TOKEN and GH_REPO in the environment.
set -euo pipefail
number=$1 summary=$2 url=$3
marker="<!-- quantize-zoo -->"
body=$(mktemp)
{ printf '%s\n' "$marker"; cat "$summary"; printf '\n%s\n' "$url"; } >"$body"
# A person who quotes the marker keeps the comment.
known=$(gh api --paginate "repos/$GH_REPO/issues/$number/comments" \
  --jq ".[] | select(.user.type == \"Bot\" and (.body | startswith(\"$marker\"))) | .id" | head -n 1)
if [ -n "$known" ]; then
  gh api --method PATCH "repos/$GH_REPO/issues/comments/$known" --field "body=@$body" --silent
else
  gh api --method POST "repos/$GH_REPO/issues/$number/comments" --field "body=@$body" --silent
fi
