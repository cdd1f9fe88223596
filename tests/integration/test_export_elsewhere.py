"""A stored run can be used from any folder."""

import subprocess

from clusters import COMMAND


def run(folder, *arguments):
    done = subprocess.run([*COMMAND, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_run_that_was_started_with_relative_paths_is_exported_from_another_folder(small, tmp_path):
    run(small.folder, "run", "matrix.yml", "--max-trials", "2")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for trial in ("0", "1"):
        run(elsewhere, "export", "net-CPU[f32]", "--trial", trial, "--reports", small.reports)
    assert len(list((elsewhere / "exported").glob("*.xml"))) == 2
