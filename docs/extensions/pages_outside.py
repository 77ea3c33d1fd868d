"""Links to files beside `docs`, from README above all, lead to the pages that include them."""

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

PAGES = {
    "CONTRIBUTING.md": "contributing",
    "LICENSE": "licence",
    "NOTICE": "licence",
    "../README": "index",
    "../CONTRIBUTING": "contributing",
    "../CHANGELOG": "changelog",
}
"""The targets that MyST finds for such links."""


def redirect(app: Sphinx, tree: nodes.document) -> None:
    """Change the targets of such links in a page."""
    for link in tree.findall(addnodes.pending_xref):
        if link["reftarget"] in PAGES:
            link.attributes |= {"refdomain": "doc", "reftarget": PAGES[link["reftarget"]]}
            link["reftargetid"] = link.get("reftargetid")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("doctree-read", redirect)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
