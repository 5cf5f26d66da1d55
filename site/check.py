"""Every link of the written site: a page, file or heading that is not there is told."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit


class _Page(HTMLParser):
    """The links of a page, and what can be linked to in it."""

    def __init__(self, html: str):
        super().__init__()
        self.links, self.ids = set(), set()
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.add(value)
            elif name == "id" or (name == "name" and tag == "a"):
                self.ids.add(value)


def broken_links(site: Path) -> list[str]:
    """'notebooks/01.html: ../x.html#y leads nowhere' for every link of the site that does; the web is not asked."""
    files = [file for file in sorted(site.rglob("*.html")) if "_static" not in file.parts]  # there it is templates
    pages = {file: _Page(file.read_text(encoding="utf-8")) for file in files}
    broken = []
    for file, page in pages.items():
        for link in sorted(page.links):
            path, fragment = urldefrag(link)
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            target = (file.parent / unquote(path.partition("?")[0])).resolve() if path else file
            there = target.exists() and (not fragment or target not in pages or unquote(fragment) in pages[target].ids)
            if not there:
                broken.append(f"{file.relative_to(site).as_posix()}: {link} leads nowhere")
    return broken
