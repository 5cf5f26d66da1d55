"""The plane: its arithmetic against course_lib, autograd and the library; its Python half; its front end."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from py_mini_racer import MiniRacer
from vector_quantize_pytorch.vector_quantize_pytorch import rotate_to

from course_lib import quantize
from course_lib.lesson import widgets
from course_lib.lesson.widgets.plane import Plane, draw_latents, start_codes


@pytest.fixture(scope="module")
def core():
    """`core.f(arguments)`, evaluated in a V8 of its own; typed arrays come back as lists."""
    racer = MiniRacer()
    racer.eval("var window = globalThis;" + widgets.script("plane"))
    plain = "(key, value) => ArrayBuffer.isView(value) ? [...value] : value"

    class Core:
        def __getattr__(self, name):
            def call(*arguments):
                given = ", ".join(map(json.dumps, arguments))
                return json.loads(racer.eval(f"JSON.stringify(vqWidgets.plane.core.{name}({given}), {plain})"))

            return call

    return Core()


def flat_list(tensor):
    return tensor.flatten().tolist()


def points(values):
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 2)


@pytest.fixture
def scene():
    """300 latents, and 12 codes of which the last lies out of reach."""
    torch.manual_seed(0)
    latents, codebook = torch.randn(300, 2, dtype=torch.float64), torch.randn(12, 2, dtype=torch.float64)
    codebook[-1] = torch.tensor([40.0, 40.0])
    return latents, codebook


# ----------------------------------------------------------------------------------------------------------------------
# Arithmetic


def test_the_figures_are_those_of_quantize(core, scene):
    latents, codebook = scene
    codes = quantize.nearest_codes(latents, codebook)
    assert core.nearest(flat_list(latents), flat_list(codebook)) == codes.tolist()
    counts = core.counts(codes.tolist(), 12)
    assert counts == codes.bincount(minlength=12).tolist() and counts[-1] == 0
    wanted = quantize.codebook_loss(latents, codebook[codes]).item()
    assert core.distortion(flat_list(latents), flat_list(codebook), codes.tolist()) == pytest.approx(wanted, abs=1e-12)
    assert core.perplexity(counts) == pytest.approx(quantize.perplexity(codes, 12).item(), rel=1e-6)


def test_the_lowest_index_wins_a_tie(core):
    torch.manual_seed(1)
    latents, codebook = torch.randint(-3, 4, (200, 2)).double(), torch.randint(-2, 3, (20, 2)).double()
    found = core.nearest(flat_list(latents), flat_list(codebook))
    distances = (latents[:, None] - codebook).square().sum(-1)
    assert (distances == distances.amin(1, keepdim=True)).sum(1).gt(1).any()  # there are ties
    assert found == distances.argmin(1).tolist()


@pytest.mark.parametrize("decay, eps", [(0.0, 1e-5), (0.9, 1e-5), (0.99, 0.3), (0.5, 0.0)])
def test_ema_steps_are_those_of_quantize(core, scene, decay, eps):
    latents, codebook = scene
    state = torch.ones(12, dtype=torch.float64), codebook.clone()
    ours = {"clusterSize": [1.0] * 12, "embedSum": flat_list(codebook), "codebook": flat_list(codebook)}
    for step in range(8):
        codes = quantize.nearest_codes(latents, codebook)
        *state, codebook = quantize.ema_update(*state, latents, codes, decay, eps)
        chosen = core.nearest(flat_list(latents), ours["codebook"])
        ours = core.emaUpdate(ours["clusterSize"], ours["embedSum"], flat_list(latents), chosen, decay, eps)
        torch.testing.assert_close(torch.tensor(ours["clusterSize"], dtype=torch.float64), state[0], atol=1e-6, rtol=0)
        torch.testing.assert_close(points(ours["embedSum"]), state[1], atol=1e-6, rtol=0)
        torch.testing.assert_close(points(ours["codebook"]), codebook, atol=1e-6, rtol=0)


def test_kmeans_steps_are_those_of_kmeans_init(core, scene, monkeypatch):
    latents, codebook = scene
    monkeypatch.setattr(quantize, "_draw_rows", lambda flat, count, generator: codebook)
    wanted, counts = quantize.kmeans_init(latents, 12, iterations=7)
    assert counts[-1] == 0  # an empty code is among them
    found = flat_list(codebook)
    for _ in range(7):
        found = core.kmeansStep(flat_list(latents), found)
    torch.testing.assert_close(points(found), wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "beta, codes_move, encoder_moves", [(0.25, True, True), (0.0, True, False), (2.0, False, True)]
)
def test_gradient_steps_are_those_of_autograd(core, scene, beta, codes_move, encoder_moves):
    latents, codebook = scene
    targets = torch.randn(300, 2, dtype=torch.float64)
    x, book = latents.clone().requires_grad_(), codebook.clone().requires_grad_()
    codes = quantize.nearest_codes(x, book)
    q = quantize.look_up(codes, book)
    loss = F.mse_loss(quantize.straight_through(x, q), targets) + quantize.codebook_loss(x, q)
    (loss + beta * quantize.commitment_loss(x, q)).backward()
    settings = {"learningRate": 0.7, "beta": beta, "codesMove": codes_move, "encoderMoves": encoder_moves}
    found = core.gradientStep(flat_list(latents), flat_list(codebook), codes.tolist(), flat_list(targets), settings)
    wanted = codebook - 0.7 * codes_move * book.grad
    torch.testing.assert_close(points(found["codebook"]), wanted, atol=1e-6, rtol=0)
    wanted = latents - 0.7 * 300 * encoder_moves * x.grad  # each latent is one of 300 in the mean
    torch.testing.assert_close(points(found["latents"]), wanted, atol=1e-6, rtol=0)
    assert book.grad.any() and x.grad.any()


def test_a_rotated_gradient_is_that_of_the_library(core):
    torch.manual_seed(2)
    latents = torch.cat([torch.randn(40, 2), torch.zeros(1, 2), torch.ones(1, 2)]).double()
    quantized = torch.cat([torch.randn(40, 2), torch.ones(1, 2), torch.zeros(1, 2)]).double()
    gradients = torch.randn(42, 2, dtype=torch.float64)
    x = latents.clone().requires_grad_()
    torch.testing.assert_close(rotate_to(x, quantized)[:40], quantized[:40])
    rotate_to(x, quantized).backward(gradients)
    found = [core.rotated(*row) for row in zip(gradients.tolist(), latents.tolist(), quantized.tolist())]
    torch.testing.assert_close(points(found), x.grad, atol=1e-6, rtol=1e-9)


def test_restarts_are_those_of_quantize(core, scene, monkeypatch):
    latents, codebook = scene
    cluster_size, embed_sum = torch.tensor([0.2, 3, 0.4, 5, 0.5, 9, 0, 7, 1, 2, 3, 4]).double(), 2 * codebook
    found = core.restart(flat_list(codebook), cluster_size.tolist(), flat_list(embed_sum), flat_list(latents), 0.5, 3)
    assert found["dead"] == [0, 2, 6] and len(set(found["rows"])) == 3
    monkeypatch.setattr(quantize, "_draw_rows", lambda flat, count, generator: flat[found["rows"]])
    wanted = quantize.restart_dead_codes(codebook, cluster_size, embed_sum, latents, 0.5)
    for name, tensor in zip(("codebook", "clusterSize", "embedSum"), wanted):
        assert found[name] == flat_list(tensor)


def test_a_cell_holds_what_is_nearest_to_its_code(core, scene):
    from matplotlib.path import Path

    _, codebook = scene
    codebook = torch.cat([codebook, codebook[3:4]])  # a second one in the same place gets nothing
    box = [-2.0, -1.5, 2.5, 1.5]
    cells = core.cells(flat_list(codebook), box)
    assert cells[-1] == []
    torch.manual_seed(3)
    inside = torch.rand(2000, 2).double() * torch.tensor([4.5, 3.0]) + torch.tensor([-2.0, -1.5])
    found = np.full(2000, -1)
    for k, cell in enumerate(cells):
        if cell:
            found[Path(cell).contains_points(inside.numpy())] = k
    distances = (inside[:, None] - codebook).square().sum(-1)
    two = distances.topk(2, largest=False).values
    clear = (two[:, 1] - two[:, 0] > 1e-9) | (distances.argmin(1) == 3)
    assert (found[clear] == distances.argmin(1).numpy()[clear]).all() and clear.sum() > 1990


@pytest.mark.parametrize("data", ["blobs", "ring", "moons", "spiral"])
def test_both_halves_draw_the_same(core, data):
    latents = draw_latents(data, 300, 5)
    assert flat_list(points(latents)) == core.drawLatents(data, 300, 5)
    assert latents != draw_latents(data, 300, 6) and points(latents).abs().max() < 4
    for start in ("normal", "uniform", "kmeans"):
        codebook, cluster_size, embed_sum = start_codes(start, 7, latents, 5)
        found = core.startCodes(start, 7, flat_list(points(latents)), 5)
        torch.testing.assert_close(points(found["codebook"]), points(codebook), atol=1e-9, rtol=0)
        assert found["clusterSize"] == cluster_size
        torch.testing.assert_close(points(found["embedSum"]), points(embed_sum), atol=1e-9, rtol=0)


def test_numbers_are_uniform(core):
    numbers = np.array(core.random(7, 20_000))
    counts = np.histogram(numbers, bins=10, range=(0, 1))[0]
    assert abs(numbers.mean() - 0.5) < 0.01 and counts.min() > 1850 and counts.max() < 2150


# ----------------------------------------------------------------------------------------------------------------------
# The Python half


def test_tensors_come_back():
    latents, codebook = torch.randn(50, 2), torch.randn(5, 2)
    plane = Plane(latents, codebook)
    torch.testing.assert_close(plane.tensor("latents"), latents)
    torch.testing.assert_close(plane.tensor("codebook"), codebook)
    assert plane.tensor("cluster_size").tolist() == [1] * 5 and plane.codebook_size == 5 and plane.data == "given"
    plane.codebook = torch.zeros(3, 2)
    assert plane.codebook_size == 3 and plane.tensor("embed_sum").shape == (3, 2) and len(plane.cluster_size) == 3


def test_the_front_end_sends_averages_of_its_own():
    plane = Plane(torch.randn(50, 2), torch.randn(2, 2))
    plane.set_state({"codebook": [[1, 2], [3, 4]], "cluster_size": [5, 6], "embed_sum": [[7, 8], [9, 10]]})
    assert plane.cluster_size == [5, 6] and plane.embed_sum == [[7, 8], [9, 10]]


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"latents": torch.randn(5, 3)}, r"latents has shape \(5, 3\); wanted \(rows, 2\)"),
        ({"latents": torch.randn(5)}, r"latents has shape \(5,\)"),
        ({"latents": torch.zeros(0, 2)}, "latents has no rows"),
        ({"latents": "blobs"}, "latents is no table of numbers"),
        ({"latents": torch.randn(6000, 2)}, "up to 5000. Take some of them"),
        ({"codebook": torch.tensor([[0.0, 1.0], [float("nan"), 0.0]])}, "codebook has NaN .* the first in row 1"),
        ({"codebook": torch.randn(65, 2)}, "codebook has 65 rows; the plane draws up to 64"),
        ({"codebook": torch.zeros(0, 2)}, "codebook has no rows"),
        ({"show": ["cell"]}, r"show has \['cell'\]; wanted some of cells, lines"),
        ({"controls": ["play"]}, r"controls has \['play'\]"),
        ({"target": [1.0]}, r"target is \[1.0\]; wanted \[x, y\]"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_clear_error(settings, words):
    with pytest.raises(ValueError, match=words):
        Plane(**settings)


def test_the_still_picture_tells_the_figures():
    torch.manual_seed(0)
    latents, codebook = torch.randn(60, 2), torch.randn(4, 2)
    plane = Plane(latents, codebook, show=["cells", "lines"])
    png, alt = plane.picture()
    codes = quantize.nearest_codes(latents, codebook)
    assert png.startswith(b"\x89PNG") and f"{quantize.codebook_loss(latents, codebook[codes]):.3f}" in alt
    assert "60 latents and 4 codes" in alt


# ----------------------------------------------------------------------------------------------------------------------
# In a browser


@pytest.fixture
def given():
    torch.manual_seed(0)
    return torch.randn(200, 2), torch.randn(6, 2)


def figures(page, index=0):
    """What the widget carries: distortion, perplexity, step, used."""
    data = page.locator(".vq-plane").nth(index).evaluate("root => ({ ...root.dataset })")
    return {name: float(data[name]) for name in ("distortion", "perplexity", "step", "used", "reconstruction")}


def handle(page, kind, index):
    """The middle of a code, latent or target on the screen."""
    box = page.locator(f'.vq-proxies button[data-kind="{kind}"]').nth(index).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, start, by):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + by[0], start[1] + by[1], steps=5)
    page.mouse.up()


def press(page, name, times=1):
    for _ in range(times):
        page.get_by_role("button", name=name, exact=True).click()


def program(page):
    """The copied program; what it builds, before it takes a step; and what it has after ten steps."""
    press(page, "Copy as Python")
    text = page.get_by_label("What was copied").input_value()
    before, after = {}, {}
    exec(text.split("\nreport(")[0], before)
    exec(text, after)
    return text, before, after


def measured(tensors):
    codes = quantize.nearest_codes(tensors["latents"], tensors["codebook"])
    return {
        "distortion": quantize.codebook_loss(tensors["latents"], tensors["codebook"][codes]).item(),
        "perplexity": quantize.perplexity(codes, len(tensors["codebook"])).item(),
        "used": len(codes.unique()),
    }


def agrees(page, tensors):
    found = figures(page)
    return all(found[name] == pytest.approx(value, abs=1e-5) for name, value in measured(tensors).items())


def test_a_code_is_dragged_and_the_figures_follow(visit, given):
    with visit(widgets.page(Plane(*given))) as page:
        start, before = handle(page, "code", 2), figures(page)
        assert agrees(page, dict(zip(("latents", "codebook"), given)))
        drag(page, start, (-60, 40))
        after, end = figures(page), handle(page, "code", 2)
        assert after["distortion"] != before["distortion"] and after["step"] == 0
        assert (end[0] - start[0], end[1] - start[1]) == pytest.approx((-60, 40), abs=2)
        assert "Code 2 now owns" in page.locator(".vq-caption").inner_text()
        _, tensors, _ = program(page)
        assert agrees(page, tensors)
        moved = (tensors["codebook"] - given[1]).abs().sum(1) > 1e-6
        assert moved.tolist() == [False, False, True, False, False, False]
        press(page, "Undo")
        assert figures(page) == before
        press(page, "Redo")
        assert figures(page) == after
        page.locator(".vq-proxies button").nth(0).focus()
        page.keyboard.press("Control+z")
        assert figures(page) == before


def test_a_latent_changes_its_code_at_the_border(visit):
    latents, codebook = torch.tensor([[-0.8, 0.0], [0.9, 0.3]]), torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    plane = Plane(latents, codebook, target=[1.0, 0.0], show=["cells", "straight_through", "rotation"])
    with visit(widgets.page(plane)) as page:
        start, before = handle(page, "latent", 0), figures(page)
        drag(page, start, (40, 0))
        assert "still gets code 0" in page.locator(".vq-caption").inner_text()
        assert figures(page)["reconstruction"] == before["reconstruction"]
        page.mouse.move(*handle(page, "latent", 0))
        drag(page, handle(page, "latent", 0), (300, 0))
        assert "from code 0 to code 1" in page.locator(".vq-caption").inner_text()
        assert figures(page)["reconstruction"] == pytest.approx(before["reconstruction"] - 4 / 4)  # mean of 4 numbers
        page.get_by_label("rotation-trick arrow").uncheck()
        assert page.locator(".vq-legend li").count() == 2


def test_a_finger_drags_a_code_and_scrolls_beside_it(visit, given):
    with visit(widgets.page(Plane(*given)), width=390, height=700) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        before, (x, y) = figures(page), handle(page, "code", 1)
        touch = page.context.new_cdp_session(page)

        def finger(kind, *points):
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in points]})

        finger("touchStart", (x, y))
        for i in range(1, 6):
            finger("touchMove", (x, y - 10 * i))
        finger("touchEnd")
        assert figures(page)["distortion"] != before["distortion"] and page.evaluate("scrollY") == 0
        assert handle(page, "code", 1)[1] == pytest.approx(y - 50, abs=3)
        after = figures(page)
        box = page.locator(".vq-stage").bounding_box()
        x, y = box["x"] + box["width"] - 6, box["y"] + box["height"] - 6  # nothing lies in this corner
        finger("touchStart", (x, y))
        for i in range(1, 12):
            finger("touchMove", (x, y - 20 * i))
        finger("touchEnd")
        page.wait_for_function("scrollY > 50")
        assert figures(page) == after


def test_the_keyboard_does_the_same(visit, given):
    with visit(widgets.page(Plane(*given))) as page:
        before, start = figures(page), handle(page, "code", 0)
        page.locator(".vq-stage button").first.focus()
        page.keyboard.press("ArrowRight")
        assert handle(page, "code", 0)[0] == pytest.approx(start[0] + 6, abs=2)
        page.keyboard.press("Shift+ArrowUp")
        assert handle(page, "code", 0)[1] == pytest.approx(start[1] - 32, abs=2)
        _, tensors, _ = program(page)
        assert figures(page)["distortion"] != before["distortion"] and agrees(page, tensors)
        page.locator(".vq-stage button").first.focus()
        for index in range(1, 6):
            page.keyboard.press("Tab")
            name = page.evaluate("document.activeElement.getAttribute('aria-label')")
            assert name.startswith(f"Code {index} at ") and "latents" in name
        page.keyboard.press("Tab")
        page.keyboard.press("PageDown")
        page.keyboard.press("ArrowLeft")
        assert page.locator(".vq-caption").inner_text().startswith("Latent 1")
        page.keyboard.press("Delete")
        page.wait_for_timeout(600)  # what is said waits for quiet
        assert "codes in use" in page.locator("[aria-live]").inner_text()
        _, tensors, _ = program(page)
        assert len(tensors["latents"]) == 199
        page.locator(".vq-stage button").first.focus()
        page.keyboard.press("a")
        page.keyboard.press("s")
        assert figures(page)["step"] == 1
        page.keyboard.press("p")
        page.wait_for_function("document.querySelector('.vq-plane').dataset.step > 2")
        page.keyboard.press(" ")
        assert page.get_by_role("button", name="Play").get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "kmeans"},
        {"method": "ema", "decay": 0.8},
        {"method": "ema", "batch_size": 48},
        {"method": "gradient", "learning_rate": 0.5},
        {"method": "gradient", "encoder_moves": True, "commitment_weight": 0.5, "batch_size": 16, "target": [1.0, 1.0]},
    ],
)
def test_the_copied_program_gives_the_same_numbers(visit, given, settings):
    latents, codebook = given
    codebook[-1] = 9.0  # a code that nobody chooses
    with visit(widgets.page(Plane(latents, codebook, **settings))) as page:
        press(page, "Step", 3)
        text, before, after = program(page)
        assert agrees(page, before) and "report(3)" in text
        press(page, "Step", 10)
        assert figures(page)["step"] == 13 and agrees(page, after)
        _, reached, _ = program(page)
        for name in ("latents", "codebook", "cluster_size", "embed_sum"):
            if name in reached:
                torch.testing.assert_close(after[name], reached[name], atol=1e-6, rtol=0)


def test_the_address_keeps_what_was_touched(visit, given, tmp_path):
    file = tmp_path / "two.html"
    file.write_text(widgets.page(Plane(*given), Plane(data="moons", points=60, method="ema")), encoding="utf-8")
    with visit(file, height=3000) as page:
        assert "#" not in page.url
        second = page.locator(".vq-plane").nth(1)
        second.get_by_role("button", name="Step").click(click_count=3)
        second.get_by_label("data set").select_option("ring")
        second.get_by_role("button", name="Step").click(click_count=2)
        page.wait_for_function("location.hash.includes('step:2')")
        assert page.url.count("plane1=") == 1 and "plane0" not in page.url
        wanted, other = figures(page, 1), figures(page, 0)
        drag(page, handle(page, "code", 0), (30, 30))
        page.wait_for_function("location.hash.includes('plane0=')")
        moved = figures(page, 0)
        assert moved["distortion"] != other["distortion"]
        page.reload()
        page.locator(".vq-plane").nth(1).wait_for()
        for index, scene in ((0, moved), (1, wanted)):
            found = figures(page, index)
            assert found["step"] == scene["step"]
            assert found["distortion"] == pytest.approx(scene["distortion"], abs=1e-4)
        assert page.locator(".vq-plane").nth(1).get_by_label("data set").input_value() == "ring"


def test_a_link_that_is_none_changes_nothing(visit, given, tmp_path):
    file = tmp_path / "one.html"
    file.write_text(widgets.page(Plane(*given)), encoding="utf-8")
    for hash in ("plane0=nonsense", "plane0=codes:1,2;step:1", "plane0=data:none;codes:", "section"):
        with visit(f"{file.as_uri()}#{hash}") as page:
            assert agrees(page, dict(zip(("latents", "codebook"), given)))


def test_settings_begin_anew_and_dead_codes_restart(visit):
    with visit(widgets.page(Plane(start="uniform", codebook_size=16, method="ema", decay=0.5))) as page:
        press(page, "Step", 6)
        assert figures(page)["used"] < 16 and figures(page)["step"] == 6
        press(page, "Restart dead codes")
        assert figures(page)["used"] == 16 and "went to random latents" in page.locator(".vq-caption").inner_text()
        page.get_by_label("data set").select_option("spiral")
        assert figures(page)["step"] == 0
        page.get_by_label("number of codes K").focus()
        page.keyboard.press("ArrowRight")
        _, tensors, _ = program(page)
        assert tensors["codebook"].shape == (17, 2)
        wanted = torch.tensor(draw_latents("spiral", 600, 0), dtype=torch.float64)
        torch.testing.assert_close(tensors["latents"], wanted, atol=0, rtol=0)
        press(page, "New draw")
        _, tensors, _ = program(page)
        assert not torch.equal(tensors["latents"], wanted)


def test_latents_of_ones_own(visit):
    with visit(widgets.page(Plane())) as page:
        press(page, "Clear")
        assert page.get_by_role("button", name="Step").is_disabled()
        box = page.locator(".vq-stage").bounding_box()
        for x in (0.2, 0.5, 0.8):
            page.mouse.click(box["x"] + x * box["width"], box["y"] + 0.5 * box["height"])
        _, tensors, _ = program(page)
        assert tensors["latents"].shape == (3, 2) and page.get_by_label("data set").input_value() == "own"
        press(page, "Add latents")  # off
        press(page, "Step")
        assert figures(page)["step"] == 1
        press(page, "Undo", 5)
        _, tensors, _ = program(page)
        assert tensors["latents"].shape == (600, 2)


def test_a_lesson_shows_what_it_teaches(visit, given):
    with visit(widgets.page(Plane(*given, controls=["counts"], caption="Drag code 3."))) as page:
        names = page.locator(".vq-plane").get_by_role("button").all_inner_texts()
        assert [name for name in names if name] == ["Undo", "Redo", "Start again"]
        drag(page, handle(page, "code", 3), (20, 20))
        assert page.locator(".vq-caption").inner_text() == "Drag code 3."
        page.wait_for_timeout(600)
        assert "#" not in page.url  # without `share`, the address stays


def caption(page):
    return page.locator(".vq-caption").inner_text()


def marble(codebook, **settings):
    """One latent that the decoder pushes towards (2, 1), and nothing holds."""
    fixed = {"method": "gradient", "methods": ["gradient"], "learning_rate": 0.5, "commitment_weight": 0.0}
    moves = {"target": [2.0, 1.0], "codes_move": False, "encoder_moves": True, "show": ["cells", "straight_through"]}
    return Plane(torch.tensor([[0.2, -0.4]]), torch.tensor(codebook), **fixed | moves | settings)


def test_the_star_wins_over_the_code_beneath_it_and_comes_back(visit):
    with visit(widgets.page(marble([[0.0, 0.0], [2.0, 1.0]]))) as page:
        start, before = handle(page, "target", 0), handle(page, "code", 1)
        loss = figures(page)["reconstruction"]
        drag(page, start, (-80, 60))
        assert handle(page, "target", 0) == pytest.approx((start[0] - 80, start[1] + 60), abs=2)
        assert handle(page, "code", 1) == before and figures(page)["reconstruction"] != loss
        box = page.get_by_label("one target for all")
        box.uncheck()
        page.locator('.vq-proxies button[data-kind="target"]').wait_for(state="detached")  # with the next frame
        box.check()
        star, code = handle(page, "target", 0), handle(page, "code", 1)
        assert star[1] - code[1] == start[1] - before[1] and figures(page)["reconstruction"] == loss


def test_what_flies_away_leaves_the_picture(visit):
    with visit(widgets.page(marble([[0.0, 0.0]], words={"latent": "marble", "code": "bucket"}))) as page:
        start = handle(page, "code", 0)
        press(page, "Play")
        page.wait_for_function("document.querySelector('.vq-caption').textContent.includes('left the picture')")
        assert caption(page).startswith("The marble has left") and page.get_by_role("button", name="Play").count() == 1
        stopped = figures(page)["step"]
        x, _ = handle(page, "code", 0)
        press(page, "Step", 20)
        assert figures(page)["step"] == stopped + 20 and handle(page, "code", 0)[0] == x  # the view stays
        press(page, "Start again")
        assert handle(page, "code", 0) == start and figures(page)["step"] == 0


def test_steps_that_overshoot_stop_the_play(visit, given):
    plane = Plane(given[0], given[1][:1], method="gradient", learning_rate=4.0)
    with visit(widgets.page(plane)) as page:
        press(page, "Play")
        page.wait_for_function(
            "document.querySelector('.vq-caption').textContent.includes('learning rate is too large')"
        )
        assert page.get_by_role("button", name="Play").count() == 1 and figures(page)["distortion"] > 1000
        press(page, "Step", 4)
        assert "e" in page.locator(".vq-tile .vq-figure").first.inner_text()


def test_a_code_snaps_onto_another(visit, given):
    with visit(widgets.page(Plane(*given))) as page:
        start, end = handle(page, "code", 4), handle(page, "code", 1)
        drag(page, start, (end[0] + 4 - start[0], end[1] - 3 - start[1]))
        _, tensors, _ = program(page)
        assert torch.equal(tensors["codebook"][4], tensors["codebook"][1])
        assert "the lowest index, 1, takes all" in caption(page) and "4 is left with none" in caption(page)
        drag(page, handle(page, "code", 4), (50, 50))  # the one just laid there is taken up again
        _, tensors, _ = program(page)
        assert not torch.equal(tensors["codebook"][4], tensors["codebook"][1])
        torch.testing.assert_close(tensors["codebook"][1], given[1][1].double(), atol=1e-6, rtol=0)


def test_a_latent_tells_every_border_it_crossed(visit):
    plane = Plane(torch.tensor([[-0.9, 0.4]]), torch.tensor([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]))
    with visit(widgets.page(plane)) as page:
        start, far = handle(page, "latent", 0), handle(page, "code", 2)
        page.mouse.move(*start)
        page.mouse.down()
        page.mouse.move(far[0], start[1])  # in one jump
        page.mouse.up()
        assert "crossed 2 borders" in caption(page) and "from code 0 to code 1 to code 2" in caption(page)


def test_start_again_keeps_the_settings_and_reset_all_does_not(visit, given):
    with visit(widgets.page(Plane(*given, method="ema"))) as page:
        first = figures(page)
        page.get_by_label("restart after each step").check()
        press(page, "Step", 3)
        press(page, "Start again")
        assert figures(page) == first and "back where they began" in caption(page) and "N(0, 1)" not in caption(page)
        assert page.get_by_label("restart after each step").is_checked()
        press(page, "Step", 2)
        press(page, "Reset all")
        assert figures(page) == first and not page.get_by_label("restart after each step").is_checked()


def test_the_decoders_push_is_seen_where_the_encoder_moves(visit, given):
    with visit(widgets.page(Plane(*given, method="gradient", show=["losses"]))) as page:
        assert page.locator(".vq-legend li").count() == 2
        tiles = page.locator(".vq-tile:visible").count()
        page.get_by_label("encoder moves too").check()
        legend = page.locator(".vq-legend").inner_text()
        assert "decoder's push" in legend and "where a latent began" in legend
        assert page.locator(".vq-tile:visible").count() == tiles  # no jump of the layout


def test_it_says_when_the_codes_have_come_to_rest(visit, given):
    with visit(widgets.page(Plane(*given, method="ema", decay=0.5)), reduced_motion="reduce") as page:
        press(page, "Step", 5)
        assert "come to rest" not in caption(page)
        press(page, "Step", 45)
        assert "come to rest" in caption(page)


def test_a_change_of_settings_plays_on_and_names_follow(visit, given):
    with visit(widgets.page(Plane(*given, method="ema"))) as page:
        press(page, "Play")
        page.locator("select:has(option[value=uniform])").select_option("uniform")
        page.wait_for_function("document.querySelector('.vq-plane').dataset.step > 4")
        code = page.locator('.vq-proxies button[data-kind="code"]').first
        early = code.get_attribute("aria-label")
        page.locator("select:has(option[value=uniform])").select_option("normal")
        page.wait_for_timeout(500)
        assert page.get_by_role("button", name="Pause").count() == 1 and code.get_attribute("aria-label") != early


def test_only_what_works_is_explained_and_offered(visit):
    with visit(widgets.page(marble([[0.0, 0.0]], controls=["show"]))) as page:
        assert page.get_by_label("lines to codes").count() == 0 or not page.get_by_label("lines to codes").is_visible()
        assert not page.get_by_label("who moves whom").is_visible()
        keys = page.locator(".vq-keys").last.text_content()
        assert "arrow keys" in keys and "plays" not in keys and "Delete" not in keys
        page.get_by_text("What the numbers mean").click()
        assert page.locator("dt").all_inner_texts()[:2] == ["latent", "code"]


def test_no_code_looks_dead_that_is_not(visit):
    codebook = torch.tensor([[k - 3.5, 0.0] for k in range(8)])
    plane = Plane(codebook, codebook, show=[])
    with visit(widgets.page(plane)) as page:
        box = page.locator(".vq-stage canvas").bounding_box()
        x, y = handle(page, "code", 7)
        place = [round(x - box["x"] - 8), round(y - box["y"] - 5)]
        page.wait_for_function(  # white until the first frame is drawn
            """([x, y]) => {
                const canvas = document.querySelector('.vq-stage canvas');
                const [red, green, blue] = canvas.getContext('2d').getImageData(x, y, 1, 1).data;
                return Math.max(red, green, blue) - Math.min(red, green, blue) > 40;
            }""",
            arg=place,
        )


def ground(page):
    """The colour of a corner of the picture."""
    return page.locator(".vq-stage canvas").evaluate(
        "canvas => [...canvas.getContext('2d').getImageData(9, 9, 1, 1).data]"
    )


def test_the_picture_follows_the_theme(visit, given):
    with visit(widgets.page(Plane(*given, show=[])), dark=True) as page:
        assert max(ground(page)[:3]) < 60
        page.emulate_media(color_scheme="light")
        page.wait_for_timeout(100)
        assert min(ground(page)[:3]) > 240
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        page.wait_for_timeout(100)
        assert max(ground(page)[:3]) < 60


def test_without_motion_a_step_is_there_at_once(visit, given):
    with visit(widgets.page(Plane(*given)), reduced_motion="reduce") as page:
        press(page, "Step")
        page.mouse.move(0, 0)
        page.wait_for_timeout(60)
        early = page.locator(".vq-stage canvas").evaluate("canvas => canvas.toDataURL()")
        page.wait_for_timeout(500)
        assert early == page.locator(".vq-stage canvas").evaluate("canvas => canvas.toDataURL()")
        press(page, "Play")
        page.wait_for_function("document.querySelector('.vq-plane').dataset.step > 2")


@pytest.mark.parametrize("width, dark", [(1280, False), (390, True)])
def test_axe_finds_nothing(visit, given, width, dark):
    from axe_playwright_python.sync_playwright import Axe

    plane = Plane(*given, show=["cells", "straight_through", "rotation", "losses"], target=[1.0, 1.0])
    with visit(widgets.page(plane), width=width, dark=dark) as page:
        for method in ("EMA", "Gradient"):
            press(page, method)
            press(page, "Step", 2)
            press(page, "Copy as Python")
            results = Axe().run(page)
            assert results.violations_count == 0, results.generate_report()


@pytest.mark.slow
def test_frame_times(visit):
    """Printed, never asserted: `pytest -s` shows them."""
    plane = Plane(data="spiral", points=2000, codebook_size=64, start="kmeans", method="ema", show=["cells", "trails"])
    with visit(widgets.page(plane)) as page:
        page.evaluate("""() => {
            const original = window.requestAnimationFrame.bind(window);
            window.times = [];
            window.requestAnimationFrame = (paint) => original((now) => {
                const start = performance.now();
                paint(now);
                window.times.push([start, performance.now() - start]);
            });
        }""")
        x, y = handle(page, "code", 0)
        page.mouse.move(x, y)
        page.mouse.down()
        for i in range(120):
            page.mouse.move(x + 60 * np.sin(i / 9), y + 60 * np.cos(i / 9))
            page.wait_for_timeout(8)
        page.mouse.up()
        drag_times = page.evaluate("window.times.splice(0)")
        press(page, "Play")
        page.wait_for_timeout(3000)
        press(page, "Pause")
        for name, times in (("drag", drag_times), ("play", page.evaluate("window.times"))):
            spent, gaps = np.array(times)[:, 1], np.diff(np.array(times)[:, 0])
            print(f"\n{name}: a frame takes {np.median(spent):.1f} ms, 95% under {np.quantile(spent, 0.95):.1f} ms; "
                  f"{len(spent)} frames, {np.median(gaps):.1f} ms apart")  # fmt: skip
