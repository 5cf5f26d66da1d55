"""A page with widgets on it loads their scripts and styles, and the weights that they need; any other page none.

All are classic scripts, as a page from disk can neither import nor fetch, and `host.js`, which shows them, comes last.
"""

import re
from pathlib import Path

from course_lib.lesson import widgets


def _load(app, page, template, context, doctree) -> None:
    hosts = re.findall(r'data-host="(\w+)" data-stored="([\w ]*)"', context.get("body", ""))
    if not hosts:
        return
    from course_lib import weights  # imports PyTorch, which most pages do not need

    stored = sorted({name for _, names in hosts for name in names.split() if name in weights.MODELS})  # not one's own
    scripts = {f"weights-{name}": widgets.weights_script(name, weights.read(name)) for name in stored}
    spoken = app.config.language
    scripts |= {
        name: widgets.catalogue_script(name, spoken) + widgets.script(name)
        for name in sorted({name for name, _ in hosts})
    }
    scripts["host"] = (widgets.HERE / "host.js").read_text(encoding="utf-8")
    folder = Path(app.outdir, "_static", "widgets")
    folder.mkdir(exist_ok=True)
    for priority, (name, text) in enumerate(scripts.items(), start=900):
        (folder / f"{name}.js").write_text(text, encoding="utf-8")
        app.add_js_file(f"widgets/{name}.js", priority=priority, loading_method="defer")
    for name in sorted({name for name, _ in hosts}):
        (folder / f"{name}.css").write_text(widgets.styles(name), encoding="utf-8")
        app.add_css_file(f"widgets/{name}.css")


def setup(app) -> dict:
    app.connect("html-page-context", _load)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
