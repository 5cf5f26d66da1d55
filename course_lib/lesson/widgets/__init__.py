"""The base of the widgets: one JavaScript module each, shown by a notebook, by a page, or as a still picture.

A module `NAME.js` imports nothing and ends with `export default { render, core }`: `render({ model, el })` is the
front end that anywidget asks for, `core` holds the arithmetic as pure functions, which the tests run without a browser.

- In a notebook, anywidget shows it, and its state is that of the Python object, both ways.
- On a page, which may lie on a disk and so can neither import nor fetch, `script` gives the module as a classic
  script, and `host.js` shows it in every element that `element` gives.
- Where neither runs, the still picture is there, with its text alternative.

What a module says, it says through `t` and `tn` of `words.js`, in the language of the notebook or of the page.
"""

import base64
import json
from html import escape
from io import BytesIO
from pathlib import Path

import anywidget
import matplotlib.pyplot as plt
import traitlets
from PIL import Image

from course_lib import language

HERE = Path(__file__).parent
PARTS = {
    "plane": ("words.js",),
    "grid": ("words.js", "network.js", "pad.js"),
    "sampler": ("words.js", "network.js", "pad.js"),
}  # what stands in front of a module: it imports nothing
MIME = "application/vnd.vq-course.widget+json"


class Widget(anywidget.AnyWidget):
    """What all widgets share. A widget's class sets `name` and its traits, and draws its `still` picture.

    Traits that are synchronised and JSON are its state, on a page as well; `stored` names the weights it needs.
    """

    name = ""
    stored: tuple[str, ...] = ()
    weights = traitlets.Dict(help="name -> bytes of the safetensors file").tag(sync=True)
    catalogue = traitlets.Dict(help="the reader's language, as words.js takes it").tag(sync=True)

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "name" in vars(cls):  # traitlets makes a subclass of its own for every object
            cls._esm, cls._css = module(cls.name), styles(cls.name)

    @traitlets.default("catalogue")
    def _spoken(self) -> dict:
        return catalogue(self.name, language.language())

    def still(self) -> tuple[plt.Figure, str]:
        """The picture that stands where no script runs, and its text alternative."""
        raise NotImplementedError

    def state(self) -> dict:
        """Everything by which this widget differs from another of its class, as JSON."""
        others = {*anywidget.AnyWidget.class_trait_names(), "weights", "catalogue"}
        names = [name for name in self.trait_names(sync=True) if name not in others and not name.startswith("_")]
        return {name: getattr(self, name) for name in sorted(names)}

    def picture(self) -> tuple[bytes, str]:
        """The still picture as PNG, and its text alternative."""
        figure, alt = self.still()
        file = BytesIO()
        figure.savefig(file, format="png")
        plt.close(figure)
        small = BytesIO()  # 128 colours are enough for it, and a third of the size
        Image.open(file).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(small, "png", optimize=True)
        return small.getvalue(), alt

    def _repr_mimebundle_(self, **options):
        data, metadata = super()._repr_mimebundle_(**options)
        png, alt = self.picture()
        data |= {
            MIME: {"widget": self.name, "state": json.dumps(self.state()), "stored": list(self.stored)},
            "image/png": base64.b64encode(png).decode(),
            "text/plain": alt,
        }
        return data, metadata | {"image/png": {"alt": alt}}


def styles(name: str) -> str:
    """The style sheet of a widget: what all share, what its parts bring along, and what is its own."""
    sheets = [(HERE / file).with_suffix(".css") for file in ("widget", *PARTS.get(name, ()), name)]
    return "".join(sheet.read_text(encoding="utf-8") for sheet in sheets if sheet.exists())


def module(name: str) -> str:
    """The JavaScript module of a widget, which imports nothing."""
    return "\n".join((HERE / file).read_text(encoding="utf-8") for file in (*PARTS.get(name, ()), f"{name}.js"))


def script(name: str) -> str:
    """A widget's module as a classic script, which registers it with `host.js`."""
    head, marker, exported = module(name).rpartition("export default ")
    if not marker:
        raise ValueError(f"{name}.js does not end with `export default {{ render, core }}`")
    return f"(() => {{\n{head}(window.vqWidgets ??= {{}}).{name} = {exported.strip().rstrip(';')};\n}})();\n"


def catalogue(name: str, spoken: str) -> dict:
    """What a widget's module says, in this language, as `words.js` takes it."""
    return language.table(language.file_of(spoken), *PARTS.get(name, ()), f"{name}.js")


def catalogue_script(name: str, spoken: str) -> str:
    """The same as a classic script for a page; nothing for English."""
    said = catalogue(name, spoken)
    return f"(window.vqCatalogues ??= {{}}).{name} = {json.dumps(said, ensure_ascii=False)};\n" if said else ""


def weights_script(name: str, content: bytes) -> str:
    """The bytes of a stored model as a classic script, since a page from disk cannot fetch them."""
    return f'(window.vqWeights ??= {{}}).{name} = "{base64.b64encode(content).decode()}";\n'


def element(bundle: dict, png: str, alt: str) -> str:
    """The HTML of one widget on a page: its state, and the still picture until `host.js` takes its place.

    bundle: what a notebook keeps under `MIME`. png: base64.
    """
    state = bundle["state"].replace("<", "\\u003c")
    stored = " ".join(bundle["stored"])
    return (
        f'<div class="vq-host" data-host="{escape(bundle["widget"])}" data-stored="{escape(stored)}">'
        f'<script type="application/json">{state}</script>'
        f'<img src="data:image/png;base64,{png}" alt="{escape(alt)}"></div>'
    )


def page(*widgets: Widget, title: str = "Widgets", weights: dict[str, bytes] | None = None) -> str:
    """A document of its own with these widgets in it, for tests and for trying one out; it loads nothing."""
    names = list(dict.fromkeys(widget.name for widget in widgets))
    scripts = [weights_script(*pair) for pair in (weights or {}).items()]
    scripts += [catalogue_script(name, language.language()) + script(name) for name in names]
    bodies = []
    for widget in widgets:
        data, metadata = widget._repr_mimebundle_()
        bodies.append(element(data[MIME], data["image/png"], data["text/plain"]))
    newline = "\n"
    return f"""<!doctype html>
<html lang="{language.language()}"><head><meta charset="utf-8"><title>{escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ margin: 0 auto; max-width: 60rem; padding: 1rem; font-family: system-ui, sans-serif }}
@media (prefers-color-scheme: dark) {{ body {{ background: #14181e; color: #ced6dd }} }}
{newline.join(styles(name) for name in names)}</style></head>
<body><main><h1>{escape(title)}</h1>{newline.join(bodies)}</main>
<script>{newline.join(scripts)}{(HERE / "host.js").read_text(encoding="utf-8")}</script></body></html>
"""
