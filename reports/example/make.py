"""Make the example report: three nights of a part of the embedded zoo, the first accepted as the baseline.

    tox -e example

Everything is real: models, data, trials, times. Needs Chromium for the pictures.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
ZOO = HERE.parents[1] / "model_zoo_configs"
MODELS = ("digits-resnet", "reviews-transformer")
KEPT = ("index.html", "results.json", "junit.xml", "benchmark.json", "summary.md", "cells", "assets", "thumbnails")
PICTURES = {"report.png": ("index.html", 1280, "light"), "cell.png": ("cells/digits-resnet-CPU.html", 1280, "light")}


def zoo(folder, *arguments):
    """Run the command in a folder where no path tells of this machine."""
    environment = {**os.environ, "LOGNAME": "release-team"}
    command = [sys.executable, "-m", "quantize_zoo", *arguments]
    status = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
    if status not in (0, 1):
        raise SystemExit(f"{' '.join(arguments)}: exit status {status}")


def nights(folder):
    """Run three nights and return the folder of the last one."""
    shutil.copytree(ZOO, folder / "zoo")
    models = [f"embedded/{name}.yml" for name in MODELS]
    (folder / "zoo" / "example.yml").write_text(yaml.safe_dump({"models": models, "devices": ["CPU", "GPU"]}))
    zoo(folder, "run", "zoo/example.yml", "--max-trials", "8")
    zoo(folder, "baseline", "accept", "--reason", "release 1.0")
    for seed in ("1", "2"):
        zoo(folder, "run", "zoo/example.yml", "--max-trials", "8", "--trials-load-method", "fine_tune", "--seed", seed)
    return folder / "reports" / "latest"


def pictures(report):
    """Take the README's pictures of the pages."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (page, width, scheme) in PICTURES.items():
            context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
            opened = context.new_page()
            opened.goto((report / page).as_uri())
            opened.wait_for_load_state("networkidle")
            opened.screenshot(path=HERE / name)
            context.close()
        browser.close()


def main():
    """Replace what lies beside this script."""
    for name in KEPT:
        path = HERE / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as name:
        report = nights(Path(name))
        for kept in KEPT:
            source = report / kept
            if source.is_dir():
                shutil.copytree(source, HERE / kept)
            elif source.is_file():
                shutil.copy(source, HERE / kept)
                _without_folder(HERE / kept, name)
    pictures(HERE)


def _without_folder(path, folder):
    """Name files as seen from the folder of the nights, which is gone."""
    path.write_text(path.read_text().replace(f"{folder}/", ""))


if __name__ == "__main__":
    main()
