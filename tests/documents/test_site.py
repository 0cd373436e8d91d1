"""The documents become a site without a warning, and it loads nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LOADED = re.compile(
    r"""<(?:script|img|source|iframe)\b[^>]*\bsrc=["']?(?P<source>[^"'\s>]+)"""
    r"""|<link\b[^>]*\brel=["']?(?:stylesheet|preconnect|icon)["']?[^>]*\bhref=["']?(?P<link>[^"'\s>]+)"""
    r"""|@import\s+["'](?P<sheet>[^"']+)|url\(["']?(?P<url>(?!data:)[^"')]+)""",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def loaded(path):
    """Everything that a page or a style sheet makes a browser load."""
    return [next(filter(None, found.groups())) for found in LOADED.finditer(path.read_text())]


def test_every_page_is_built(site):
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    assert {path.with_suffix(".html") for path in pages} <= {
        path.relative_to(site) for path in site.rglob("*.html")
    }


def test_nothing_is_loaded_from_elsewhere(site):
    files = [*site.rglob("*.html"), *site.rglob("*.css"), *site.rglob("*.svg")]
    found = {name for path in files for name in loaded(path)}
    assert any(name.endswith(".js") for name in found)
    assert {name for name in found if re.match(r"(\w+:)?//", name)} == set()


def test_a_foreign_script_would_be_found(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<script async src="https://example.org/a.js"></script>'
        '<link href="local.css" rel="stylesheet"><link rel="stylesheet" href="//example.org/b.css">'
        "<style>p { background: url(https://example.org/c.png) }</style>"
    )
    assert [name for name in loaded(page) if "//" in name] == [
        "https://example.org/a.js",
        "//example.org/b.css",
        "https://example.org/c.png",
    ]


def test_examples_of_docstrings_are_shown_as_code(site):
    text = (site / "reference.html").read_text()
    assert "&gt;&gt;&gt; " not in re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL)
