"""Try an installed neuroadda as a new user would, in a new folder: a TIFF stack is imported, ranked for, segmented and published.

    python tools/try_installed.py [--keep FOLDER]

It uses the command `neuroadda` on PATH, or beside the Python that runs this, and refuses to run on the sources in this repository.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1]
DATA = (
    *(f"viewing/{name}.html" for name in ("contact_sheet", "errors", "page", "ranking", "report")),
    *(f"viewing/dashboard/page{end}" for end in (".html", ".css", ".js", "-draw.js", "-detail.js", "-training.js")),
    *("zoo/data/zoo.json", "zoo/data/generalist/weights.safetensors", "py.typed"),
)


def find_command() -> str:
    """Return the installed command; end with a message where there is none."""
    program = shutil.which("neuroadda", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        sys.exit("the command neuroadda is not installed")
    return program


def check_package() -> None:
    """Look whether what is imported is an installed package with all its data."""
    import neuroadda

    place = Path(neuroadda.__file__).resolve()
    if place.is_relative_to(SOURCES / "neuroadda"):
        sys.exit(
            f"{place} is the source, not an installed package: run this with PYTHONPATH unset, in another environment"
        )
    missing = [name for name in DATA if not files("neuroadda").joinpath(name).is_file()]
    if missing:
        sys.exit(f"the installed package lacks {', '.join(missing)}")
    print(f"neuroadda {neuroadda.__version__} in {place.parent}")


def try_in(folder: Path, program: str) -> None:
    """Do what a new user does, command by command."""

    def run(*arguments: str) -> str:
        print("$ neuroadda", *arguments, flush=True)
        ended = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        print(ended.stdout, end="")
        if ended.returncode:
            sys.exit(f"exit code {ended.returncode}: {ended.stderr}")
        return ended.stdout

    run("--help")
    run("zoo", "verify")
    run("phantom", "made.zarr", "--shape", "16", "192", "192")
    run("export", "made.zarr/raw", "stack.tif")
    run("import", "stack.tif", "volume.zarr/raw", "--voxel-size", "30", "6", "6")
    run("zoo", "rank", "volume.zarr/raw", "-o", "ranking.json", "--report", "ranking.html")
    sources = json.loads((folder / "ranking.json").read_text())
    best = sources.get("winner") or sources["ranking"]["winner"]
    run("segment", "volume.zarr/raw", "--backbone", best, "--any-voxel-size", "-o", "run")
    run("evaluate", "run/volumes.zarr/segmentation", "made.zarr/labels")
    run("export", "run/volumes.zarr/segmentation", "segmentation.tif")
    run("report-bug", "run")


def main() -> None:
    """Try it in a temporary folder, or in one that stays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="work in this new folder, which stays")
    given = parser.parse_args()
    program = find_command()
    check_package()
    if given.keep is not None:
        given.keep.mkdir(parents=True)
        try_in(given.keep, program)
        return
    with tempfile.TemporaryDirectory(prefix="neuroadda-try-") as folder:
        try_in(Path(folder), program)


if __name__ == "__main__":
    main()
