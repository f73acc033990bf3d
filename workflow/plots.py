"""Render DVC's plots to SVG and PNG without a network, of the files here or of revisions side by side.

python workflow/plots.py                    what lies here
python workflow/plots.py HEAD~1 HEAD        as `dvc plots diff HEAD~1 HEAD`, which makes a page that loads its library
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import vl_convert

FOLDER = Path("dvc_plots")


def main(revisions: list[str]) -> None:
    """Write dvc_plots/<plot>.svg and .png, and print their names."""
    command = ["dvc", "plots", "diff" if revisions else "show", "--json", *revisions]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    found = json.loads(done.stdout)
    for error in found.get("errors", []):
        print(f"plots.py: {error}", file=sys.stderr)
    plots = {name: plot for name, parts in found["data"].items() for plot in parts}
    if not plots:
        sys.exit("plots.py: expected results/plots/*.csv, found none (snakemake, or git checkout)")
    FOLDER.mkdir(exist_ok=True)
    for name, plot in plots.items():
        render(name, plot["content"])


def render(name: str, content: str | dict[str, object]) -> None:
    """One plot in both formats."""
    chart = content if isinstance(content, str) else json.dumps(content)
    image = FOLDER / f"{Path(name).name}.svg"
    image.write_text(vl_convert.vegalite_to_svg(chart), encoding="utf-8")
    image.with_suffix(".png").write_bytes(vl_convert.vegalite_to_png(chart, scale=2))
    print(image)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="*", help="of git")
    main(parser.parse_args().revisions)
