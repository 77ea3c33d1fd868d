"""Notebooks as pages: the directive `notebook` has the text and the code of one, which are kept without outputs."""

import json
import re
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def markdown(path: Path) -> str:
    """A notebook as Markdown: its code between fences, its headings one level lower."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = []
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            texts.append(f"```ipython3\n{text}\n```")
        else:
            texts.append(re.sub("^#", "##", text, flags=re.MULTILINE))
    return "\n\n".join(texts)


class NotebookDirective(SphinxDirective):
    """See the module."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        """Make the sections of a notebook."""
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        return self.parse_text_to_nodes(markdown(Path(path)), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("notebook", NotebookDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
