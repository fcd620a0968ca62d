"""Sphinx's configuration: `sphinx-build -W -b html docs out/site` (docs/installation.md). rosdoc2 takes it too."""

import re

from docutils import nodes
from sphinx.application import Sphinx

project = "gckpl_ros"
author = "gckpl_ros maintainers"
project_copyright = "gckpl_ros maintainers, Apache-2.0"
extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["requirements.txt"]

html_theme = "furo"
html_title = "gckpl_ros"
html_show_sphinx = False
html_copy_source = False
html_css_files = ["site.css"]
html_static_path = ["static"]

# rosdoc2 runs this file in its own, with its own front page and theme, below a folder of the name docs.
if "rosdoc2_settings" in globals():
    exclude_patterns.append("docs/index.md")
    html_static_path, html_css_files = [], []

_ELSEWHERE = re.compile(r"\[([^]\n]+)\]\(\.\./([^)\n]+)\)")


def _named(link: re.Match[str]) -> str:
    text, path = link.groups()
    return f"`{path}`" if text.strip("/`") == path.strip("/") else f"{text} (`{path}`)"


def _name_what_is_no_page(app: Sphinx, page: str, source: list[str]) -> None:
    """Links to files of the repository that are no pages: here they are only named."""
    source[0] = _ELSEWHERE.sub(_named, source[0])


def _call_pages_by_their_names(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """A link that reads docs/topics.md, as it does where files are browsed, reads topics here."""
    for link in doctree.findall(nodes.reference):
        if name := re.fullmatch(r"(?:docs/)?(\w+)\.md", link.astext()):
            link.children = [nodes.Text(name[1])]


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _name_what_is_no_page)
    app.connect("doctree-resolved", _call_pages_by_their_names)
