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

# The cells with an alarm of a kind and why, a line each.
alarms() {
  python - "$folder/results.json" "$1" <<'PYTHON'
import json, sys

results = json.load(open(sys.argv[1], encoding="utf-8"))


def reason(cell):
    if sys.argv[2] != "missed target":
        return cell["verdict"]["reason"]
    missed = (target for target in cell["verdict"]["targets"] if target["status"] == "missed")
    return "; ".join(f"{target['name']}: {target['text']}" for target in missed)


found = [
    (cell["name"], reason(cell))
    for cell in results["cells"]
    if sys.argv[2] in cell["verdict"]["alarms"]
]
# A regressed cell that is not run any more has still regressed, until it is accepted or dropped.
if sys.argv[2] == "regression":
    found += [
        (cell["name"], f"{cell['text']}; it regressed in run {cell['regressed_in']}: {cell['reason']}")
        for cell in results["absent"]
        if cell["regressed_in"]
    ]
for name, reason in found:
    text = " ".join(f"{name}: {reason}".split())
    print("- `" + text.replace("`", "'") + "`")
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
    { printf '%s\n\n%s\n\n' "$cells" "$url"; head -c 50000 "$folder/summary.md"; } >"$body"
    if [ -n "$number" ]; then
      gh issue comment "$number" --body-file "$body"
    else
      gh issue create --title "$title" --body-file "$body"
    fi
  elif [ -n "$number" ] && [ "$interrupted" = False ] && [ -z "$failures" ]; then
    gh issue close "$number" --comment "Gone: $url"
  fi
done
