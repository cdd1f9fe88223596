#!/usr/bin/env bash
# One issue for each kind of alarm of the newest run: opened when there is one, commented while there is, and closed when
# a run that came to its end, with no cell failed, has none.
# regression-issue.sh RUN_FOLDER RUN_URL; needs gh, with GH_TOKEN and GH_REPO in the environment.
set -euo pipefail
folder=$1 url=$2
if [ ! -f "$folder/results.json" ]; then
  echo "no results: the issues stay as they are"
  exit 0
fi

# What raises a kind of alarm, a line for each cause with its cells.
alarms() {
  python - "$folder/results.json" "$1" <<'PYTHON'
import json, sys

NAMED, CAUSES, LONGEST = 3, 40, 500
results = json.load(open(sys.argv[1], encoding="utf-8"))
found = [finding for finding in results["findings"] if finding["alarm"] == sys.argv[2]]
for finding in found[:CAUSES]:
    cells = finding["cells"]
    who = ", ".join(cells[:NAMED])
    if len(cells) > NAMED:
        who = f"{len(cells)} cells ({who} and {len(cells) - NAMED} more)"
    text = " ".join(f"{who}: {finding['reason']}".split())
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    print("- `" + text.replace("`", "'") + "`")
if len(found) > CAUSES:
    print(f"- and {len(found) - CAUSES} more causes: see the report")
PYTHON
}

# The summary, whole lines of it: an issue takes 65,536 characters.
summary() {
  python - "$folder/summary.md" <<'PYTHON'
import sys

ROOM = 40_000
text = open(sys.argv[1], encoding="utf-8").read()
if len(text) > ROOM:
    text = text[:ROOM].rpartition("\n")[0] + "\n\n*The rest is in the report.*\n"
print(text)
PYTHON
}

# What was interrupted or failed says nothing of what is not in it.
interrupted=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["exit_status"] in (130, 143))' "$folder/results.json")
failures=$(alarms failure)
for kind in regression "missed target" failure; do
  title="quantize-zoo: $kind"
  cells=$(alarms "$kind")
  number=$(gh issue list --state open --search "in:title \"$title\"" --json number,title \
    --jq "map(select(.title == \"$title\")) | .[0].number // empty")
  if [ -n "$cells" ]; then
    body=$(mktemp)
    { printf '%s\n\n%s\n\n' "$cells" "$url"; summary; } >"$body"
    if [ -n "$number" ]; then
      gh issue comment "$number" --body-file "$body"
    else
      gh issue create --title "$title" --body-file "$body"
    fi
  elif [ -n "$number" ] && [ "$interrupted" = False ] && [ -z "$failures" ]; then
    gh issue close "$number" --comment "Gone: $url"
  fi
done
