"""The settings of the documentation site, which `make docs` builds."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

project = "surgstream"
author = "the authors of surgstream"
html_title = "surgstream"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "docs.extensions.command_pages",
    "docs.extensions.docstrings",
    "docs.extensions.notebooks",
    "docs.extensions.pages_outside",
    "docs.extensions.built_links",
]
exclude_patterns = ["extensions"]

# Anchors of headings are GitHub's, so that a link leads to the same place there and here.
myst_heading_anchors = 4

# In docstrings, single backticks are code, and what is indented may be anything.
default_role = "code"
highlight_language = "none"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 110
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]

# Every name must lead somewhere, but those of other packages, and of ours that have no place in the reference.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!surgstream\.).*"),
    ("py:.*", r"surgstream\.(configs|shards|trainer)\..*"),
]

# Dashes alone: quotes stay as they are typed.
smartquotes_action = "D"

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
