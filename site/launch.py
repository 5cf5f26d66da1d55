"""Buttons for Colab and Kaggle, beside the theme's for Binder: they open the copies that tools/launch.py makes.

Both open notebooks from GitHub alone; for a repository elsewhere there is no button.
"""

GITHUB = "https://github.com/"
SERVICES = {
    "Colab": ("https://colab.research.google.com/github/{}", "_static/images/logo_colab.png"),
    "Kaggle": ("https://kaggle.com/kernels/welcome?src=https://github.com/{}", "fab fa-kaggle"),
}


def _buttons(app, page, template, context, doctree) -> None:
    repository = context.get("theme_repository_url") or ""
    groups = [group for group in context.get("header_buttons", []) if group.get("label") == "launch-buttons"]
    if not (groups and repository.startswith(GITHUB) and page.startswith(("notebooks/", "exercises/"))):
        return
    path = f"{repository.removeprefix(GITHUB)}/blob/launch/{page}.ipynb"
    for service, (address, icon) in SERVICES.items():
        button = {"type": "link", "text": service, "tooltip": f"Launch on {service}", "icon": icon}
        groups[0]["buttons"].append(button | {"url": address.format(path)})


def setup(app) -> dict:
    app.connect("html-page-context", _buttons, priority=900)  # after the theme, whose group of buttons it joins
    return {"parallel_read_safe": True, "parallel_write_safe": True}
