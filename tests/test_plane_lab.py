"""The plane in JupyterLab: what is dragged arrives in Python, and what Python sets is seen."""

import json
import re

import pytest
from lab import lab, printed, run  # noqa: F401  a fixture

SHOW = """import torch
from course_lib.lesson.widgets.plane import Plane
torch.manual_seed(0)
plane = Plane(torch.randn(100, 2), torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
plane"""
READ = "print('code 0 is at', plane.tensor('codebook')[0].tolist())"
SET = "plane.codebook = torch.zeros(4, 2); plane.caption = 'From Python.'; print('set')"


@pytest.mark.slow
def test_a_drag_reaches_python_and_python_moves_the_codes(chromium, lab):  # noqa: F811
    page = chromium.new_page(viewport={"width": 1400, "height": 1300})
    page.set_default_timeout(120_000)
    try:
        page.goto(lab(SHOW, READ, SET))
        page.locator(".jp-CodeCell").nth(2).wait_for()
        plane = run(page, 0).locator(".vq-plane")
        plane.wait_for()
        code = plane.locator(".vq-proxies button").first
        code.wait_for(state="attached")
        plane.scroll_into_view_if_needed()
        box = code.bounding_box()
        page.mouse.move(box["x"] + 14, box["y"] + 14)
        page.mouse.down()
        page.mouse.move(box["x"] + 94, box["y"] + 54, steps=4)
        page.mouse.up()
        page.wait_for_timeout(2000)  # for the message to arrive
        said = printed(page, 1)
        found = json.loads(said[said.index("[") :])
        assert found[0] > -0.9 and found[1] < -0.1  # it was at (-1, 0), and went to the right and down
        name = code.get_attribute("aria-label")
        seen = [float(value) for value in re.search(r"at (.+), (.+):", name).groups()]
        assert found == pytest.approx(seen, abs=0.006)
        assert "set" in printed(page, 2)
        page.wait_for_function("() => document.querySelectorAll('.vq-proxies button[data-kind=code]').length === 4")
        assert plane.locator(".vq-caption").inner_text() == "From Python."
        assert "#plane" not in page.url  # the address is JupyterLab's
    finally:
        page.close()
