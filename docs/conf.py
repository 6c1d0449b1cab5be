"""Settings of Sphinx, for `make docs`."""

import re
import runpy
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent

project = "beamscope"
project_copyright = "the authors of beamscope, Apache-2.0"
release = runpy.run_path(str(HERE.parent / "beamscope" / "_version.py"))["__version__"]
extensions = ["myst_parser"]
myst_heading_anchors = 4
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"beamscope {release}"
html_show_sourcelink = False


def list_pages(_: Sphinx, name: str, source: list[str]) -> None:
    """Make the site's contents of the tables of index.md, which stays plain Markdown.

    Sphinx warns of a page that is in none of them.
    """
    if name != "index":
        return
    for section in source[0].split("\n## ")[1:]:
        pages = "\n".join(re.findall(r"^\| \[[^]]*\]\((\w+)\.md\)", section, re.M))
        caption = section.partition("\n")[0]
        source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n"


def setup(app: Sphinx) -> None:
    """Connect what is above."""
    app.connect("source-read", list_pages)
