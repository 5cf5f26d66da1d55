"""The sampler in JupyterLab: what is chosen arrives in Python, and what Python sets is seen."""

import json

import pytest
from lab import lab, printed, run  # noqa: F401  a fixture

SHOW = """import torch
from course_lib.lesson.widgets.sampler import Sampler
sampler = Sampler(label=3)
sampler"""
READ = "print(sampler.grid[0, :3].tolist())"
SET = "sampler.label = 8; sampler.codes = torch.full((7, 7), 5); print('set')"


@pytest.mark.slow
def test_a_choice_reaches_python_and_python_fills_the_grid(chromium, lab):  # noqa: F811
    page = chromium.new_page(viewport={"width": 1400, "height": 1300})
    page.set_default_timeout(120_000)
    try:
        page.goto(lab(SHOW, READ, SET))
        page.locator(".jp-CodeCell").nth(2).wait_for()
        sampler = run(page, 0).locator(".vq-sampler")
        sampler.wait_for()
        assert sampler.get_attribute("data-label") == "3"
        for _ in range(2):
            place = int(sampler.get_attribute("data-place"))
            sampler.get_by_role("option").nth(1).click()
            page.wait_for_function(
                "([root, place]) => Number(root.dataset.place) === place", arg=[sampler.element_handle(), place + 1]
            )
        chosen = json.loads(sampler.get_attribute("data-codes"))[0][:3]
        page.wait_for_timeout(1000)  # for the message to arrive
        assert json.loads(printed(page, 1)) == chosen
        assert chosen[2] == -1 and min(chosen[:2]) >= 0
        assert "set" in printed(page, 2)
        page.wait_for_function(
            "(root) => root.dataset.place === '49' && root.dataset.label === '8'", arg=sampler.element_handle()
        )
        assert json.loads(sampler.get_attribute("data-codes")) == [[5] * 7] * 7
    finally:
        page.close()
