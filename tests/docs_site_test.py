"""The pages of docs/ as a site, and the links of the pages beside it."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(page.stem for page in (ROOT / "docs").glob("*.md"))


def build(root, site):
    """Run the command of `make docs`; return its exit status and what it says."""
    (line,) = re.findall(
        r"^\t\$\(BIN\)/python (-m sphinx .*)$", (ROOT / "Makefile").read_text(), re.M
    )
    *flags, source, target = shlex.split(line)
    assert (source, target) == ("docs", "build/site")
    command = [sys.executable, *flags, str(root / source), str(site)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_every_page_is_in_the_site_and_in_its_contents(tmp_path):
    assert build(ROOT, tmp_path / "site") == (0, "")
    contents = (tmp_path / "site" / "index.html").read_text().partition('class="sidebar-tree"')[2]
    for page in PAGES:
        assert (tmp_path / "site" / f"{page}.html").exists()
        assert page == "index" or f'href="{page}.html"' in contents, page
    # Nothing is fetched when a page is opened.
    for page in (tmp_path / "site").glob("*.html"):
        assert not re.findall(r'(?:src|<link[^>]*href)="(?:https?:)?//[^"]*"', page.read_text())


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("[x](no_such_page.md)", "no_such_page"),
        ("[x](faq.md#no-such-heading)", "no-such-heading"),
        ("![x](no_such_picture.jpg)", "no_such_picture"),
    ],
)
def test_a_link_to_nothing_is_an_error(tmp_path, added, said):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "beamscope").mkdir()
    shutil.copy(ROOT / "beamscope" / "_version.py", tmp_path / "beamscope")
    with (tmp_path / "docs" / "report.md").open("a") as page:
        page.write(f"\n{added}\n")
    status, words = build(tmp_path, tmp_path / "site")
    assert status == 1
    assert said in words


def test_a_page_that_is_not_in_the_index_is_an_error(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "beamscope").mkdir()
    shutil.copy(ROOT / "beamscope" / "_version.py", tmp_path / "beamscope")
    (tmp_path / "docs" / "lonely.md").write_text("# Lonely\n")
    status, words = build(tmp_path, tmp_path / "site")
    assert status == 1
    assert "lonely" in words


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_pages_beside_docs_lead_to_files(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text()):
        assert (ROOT / target).exists(), target
