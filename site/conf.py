"""How Sphinx writes the site; `build.py` stages the sources and calls it."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the extensions below
import words
from words import _

from course_lib import language as spoken

project = _("VQ-VAEs in PyTorch")
language = spoken.language()
nitpicky = True
extensions = [
    "myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_copybutton", "sphinx_design",
    "formulas", "launch", "links", "docstrings", "widget_scripts", "words",
]  # fmt: skip

# Notebooks and Markdown
nb_execution_mode = "off"
nb_code_prompt_show = _("Show the code")
nb_code_prompt_hide = _("Hide the code")
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "deflist", "dollarmath"]
myst_heading_anchors = 4
myst_heading_slug_func = "links.anchor"
myst_update_mathjax = False
html_math_renderer = "mathml"

# The reference
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
add_module_names = False
toc_object_entries_show_parents = "hide"
autodoc_default_options = {"members": True, "inherited-members": "Module"}
python_use_unqualified_type_names = True
nitpick_ignore_regex = [("py:class", r"(torch|collections)\..*")]  # they are documented elsewhere

# Pages
html_theme = "sphinx_book_theme"
html_title = project
html_favicon = "static/logo.svg"
html_static_path = ["static"]
templates_path = ["templates"]
html_css_files = ["course.css", "predictions.css"]
html_js_files = ["course.js", "predictions.js"]
if said := spoken.table(words.catalogue(), "predictions.js"):
    html_js_files.insert(0, ("", {"body": f"(window.vqCatalogues ??= {{}}).predictions = {json.dumps(said)};"}))
html_sidebars = {"**": ["brand.html", "search-button-field.html", "sbt-sidebar-nav.html"]}
html_copy_source = False
html_context = {"default_mode": "auto"}
html_show_copyright = False
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "footer_content_items": ["extra-footer"],
    "extra_footer": _("Texts and pictures: {licence}. Code, in the lessons too: MIT licence.").format(
        licence='<a href="https://creativecommons.org/licenses/by/4.0/">CC BY 4.0</a>'
    ),
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

# COURSE_URL is the repository's address, COURSE_HUB a JupyterHub's: with the first, pages can be opened in a service.
if repository := os.environ.get("COURSE_URL", "").rstrip("/"):
    branch = os.environ.get("COURSE_BRANCH", "main")
    course_repository = f"{repository}/blob/{branch}"
    html_theme_options |= {
        "repository_url": repository,
        # the theme knows three hosts by their addresses; a house's own may be any
        "repository_provider": next((name for name in ("gitlab", "bitbucket") if name in repository), "github"),
        "repository_branch": branch,
        "use_repository_button": True,
        "launch_buttons": {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",  # which builds .binder/; launch.py adds Colab and Kaggle
            "jupyterhub_url": os.environ.get("COURSE_HUB", ""),
        },
    }
