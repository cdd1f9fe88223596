"""One comment on a pull request, made once and then updated; gh is played."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".github" / "scripts" / "comment.sh"


@pytest.mark.parametrize(
    ("known", "call"),
    [
        ("", "api --method POST repos/me/zoo/issues/5/comments"),
        ("11\n12", "api --method PATCH repos/me/zoo/issues/comments/11"),
    ],
)
def test_a_pull_request_has_one_comment(tmp_path, known, call):
    program, calls = tmp_path / "gh", tmp_path / "calls"
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {calls}\ncase "$*" in *--paginate*) printf "{known}";; esac\n'
        f'for given; do case "$given" in body=@*) cat "${{given#body=@}}" > {tmp_path}/body;; esac; done\n'
    )
    program.chmod(0o755)
    (tmp_path / "summary.md").write_text("## quantize-zoo: run 1\n")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "GH_REPO": "me/zoo"}
    subprocess.run(
        ["bash", SCRIPT, "5", tmp_path / "summary.md", "https://run"], check=True, env=environment, capture_output=True
    )
    looked, written = calls.read_text().splitlines()
    assert "repos/me/zoo/issues/5/comments" in looked
    assert 'startswith("<!-- quantize-zoo -->")' in looked
    assert written.startswith(call)
    assert (tmp_path / "body").read_text() == "<!-- quantize-zoo -->\n## quantize-zoo: run 1\n\nhttps://run\n"
