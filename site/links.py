"""Links as the notebooks write them: to headings by JupyterLab's anchors, and to files that are not on the site."""

import os
from pathlib import Path

from docutils import nodes
from sphinx import addnodes


def anchor(heading: str) -> str:
    """'Where we are' -> 'Where-we-are': JupyterLab's anchor, so that one link serves notebook and page."""
    return heading.strip().replace(" ", "-")


def _lead_out(app, doctree) -> None:
    """A link to a file of the project that is no page leads to the repository, or without one becomes its name.

    From a page in another language it leads to the English page where there is no other.

    What exists nowhere is left to the parser's own warning.
    """
    for link in list(doctree.findall(addnodes.pending_xref)):
        if link["reftype"] != "myst" or link.get("refdomain") or link["reftarget"].startswith("#"):
            continue
        target, hash, heading = link["reftarget"].partition("#")
        path = os.path.normpath(Path(app.env.docname).parent / target)
        page = os.path.splitext(path)[0].replace(os.sep, "/")
        if page in app.env.found_docs:
            continue
        if page in app.config.course_pages["en"]:  # not translated
            address = f"{'../' * (app.env.docname.count('/') + 1)}{page}.html{hash}{heading}"
            link.replace_self(nodes.reference("", "", *link.children[0].children, refuri=address))
            continue
        if path.startswith("..") or not (Path(app.config.course_project) / path).exists():
            continue
        name = path.replace(os.sep, "/")
        if app.config.course_repository:
            address = f"{app.config.course_repository}/{name}"
            link.replace_self(nodes.reference("", "", *link.children[0].children, refuri=address))
        elif link.astext() == name:
            link.replace_self(nodes.literal("", name))
        else:
            text = [*link.children[0].children, nodes.Text(" ("), nodes.literal("", name), nodes.Text(")")]
            link.replace_self(nodes.inline("", "", *text))


def setup(app) -> dict:
    app.add_config_value("course_project", "", "env")
    app.add_config_value("course_repository", "", "env")
    app.connect("doctree-read", _lead_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
