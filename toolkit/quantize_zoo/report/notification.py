"""What a webhook is told of a run, as JSON or as a text that chats show."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from quantize_zoo.report.findings import Finding, findings
from quantize_zoo.report.groups import who
from quantize_zoo.report.overview import answer, tiles
from quantize_zoo.report.run_report import RunReport
from quantize_zoo.text.plain import plain
from quantize_zoo.text.shown import visible

SCHEMA_VERSION = 1
_CAUSES = 10  # of a text; a chat is no report
_LONGEST = 500  # characters of a reason in a text


def notification(report: RunReport, page: Path) -> dict[str, Any]:
    """Return the run's answer, counts, regressed cells with their causes, and where the report is.

    Args:
        report: the run.
        page: its overview.

    """
    document: dict[str, Any] = plain(
        {
            "schema_version": SCHEMA_VERSION,
            "run": report.run.id,
            "status": report.run.status,
            "exit_status": report.exit_status,
            "matrix": report.run.matrix,
            "answer": answer(report),
            "counts": {tile.status: tile.count for tile in tiles(report)},
            "regressed": [
                {"cell": cell.record.name, "cause": cell.verdict.cause, "reason": cell.verdict.reason}
                for cell in report.cells
                if "regression" in cell.verdict.alarms
            ],
            "findings": findings(report),
            "report": {"path": str(page.absolute()), "url": run_url()},
        }
    )
    return document


def slack_text(report: RunReport, page: Path) -> str:
    """Return the answer, the causes of what has to be looked at, and where the report is, in Slack's markup."""
    found = findings(report)
    lines = [f"*quantize-zoo: {_escape(answer(report))}*", *(_line(finding) for finding in found[:_CAUSES])]
    if len(found) > _CAUSES:
        lines.append(f"and {len(found) - _CAUSES} more causes")
    url = run_url()
    run = _escape(report.run.id)
    lines.append(f"<{url}|report of run {run}>" if url else f"report: {_escape(str(page.absolute()))}")
    return "\n".join(lines)


def run_url() -> str | None:
    """Return the address of the run of GitHub's workflow that this is a part of, which has the report."""
    server, repository, run = (
        os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY"), os.environ.get("GITHUB_RUN_ID")
    )  # fmt: skip
    return f"{server}/{repository}/actions/runs/{run}" if server and repository and run else None


def _line(finding: Finding) -> str:
    cause = f" ({finding.cause})" if finding.cause else ""
    reason = finding.reason if len(finding.reason) <= _LONGEST else f"{finding.reason[:_LONGEST]}..."
    text = " ".join(f"{who(list(finding.cells))}: {reason}".split())
    return f"\u2022 {finding.alarm}{cause}: {_escape(text)}"


def _escape(text: str) -> str:
    """Escape what Slack's markup reads as its own."""
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
