"""The grid in JupyterLab: what is changed by hand arrives in Python, and what Python sets is seen."""

import pytest
from lab import lab, printed, run  # noqa: F401  a fixture

SHOW = """import torch
from course_lib.lesson.widgets.grid import Grid
from course_lib.models import ResNetVQVAE
from course_lib.quantize import VectorQuantizer
torch.manual_seed(0)
widget = Grid(ResNetVQVAE(VectorQuantizer(8, 100), in_channels=1, hidden_channels=16))
widget"""
READ = "print(*widget.grid.flatten().tolist())"
SET = "widget.image = torch.zeros(28, 28).byte(); widget.grid = torch.arange(49).reshape(7, 7); print('set')"


def shown(page) -> list[int]:
    return [int(code) for code in page.locator(".vq-grid").get_attribute("data-codes").split(",")]


@pytest.mark.slow
def test_codes_go_both_ways(chromium, lab):  # noqa: F811
    page = chromium.new_page(viewport={"width": 1400, "height": 1300})
    page.set_default_timeout(120_000)
    try:
        page.goto(lab(SHOW, READ, SET))
        page.locator(".jp-CodeCell").nth(2).wait_for()
        run(page, 0)
        page.locator('.vq-grid[data-changed="0"]').wait_for()
        place = page.locator(".vq-grid-cell").nth(24)
        place.scroll_into_view_if_needed()
        before = shown(page)[24]
        place.focus()
        page.keyboard.type("17" if before != 17 else "18")  # JupyterLab would make a heading of a cell
        page.locator('.vq-grid[data-changed="1"]').wait_for()
        page.wait_for_timeout(1000)  # for the message to arrive
        assert [int(code) for code in printed(page, 1).split()] == shown(page)
        assert shown(page)[24] in (17, 18)
        assert page.locator(".jp-CodeCell").count() == 3
        assert printed(page, 2) == "set"
        page.locator(f'.vq-grid[data-codes="{",".join(map(str, range(49)))}"]').wait_for()
        script = (
            "node => Math.max(...node.getContext('2d').getImageData(0, 0, 28, 28).data.filter((_, i) => i % 4 < 3))"
        )
        assert page.locator(".vq-grid-seen canvas").evaluate(script) == 0
    finally:
        page.close()
