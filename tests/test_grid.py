"""The network of the widgets against course_lib.models, and the widget `grid` as people use it."""

import base64
import json
import re

import pytest
import torch
import torch.nn.functional as F
import vector_quantize_pytorch
from axe_playwright_python.sync_playwright import Axe
from matplotlib.colors import to_rgb
from py_mini_racer import MiniRacer
from safetensors.torch import load, save

from course_lib import quantize, weights
from course_lib.lesson import widgets
from course_lib.lesson.widgets import grid
from course_lib.lesson.widgets.grid import Grid
from course_lib.models import ConvVQVAE, ResNetVQVAE


def half_state(model) -> dict[str, torch.Tensor]:
    return {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}


def rounded(model):
    """The model with the weights that its file in half precision has."""
    model.load_state_dict({name: value.to(model.state_dict()[name].dtype) for name, value in half_state(model).items()})
    return model.eval().requires_grad_(False)


def mnist_model(seed: int = 0) -> ResNetVQVAE:
    torch.manual_seed(seed)
    return rounded(ResNetVQVAE(quantize.VectorQuantizerEMA(16, 64), in_channels=1, hidden_channels=64))


def cifar_model(seed: int = 0) -> ResNetVQVAE:
    torch.manual_seed(seed)
    return rounded(ResNetVQVAE(quantize.VectorQuantizerEMA(64, 512)))


def odd_model() -> ConvVQVAE:
    """One strided convolution by 4, then one that keeps the size; K and D that no block of the product divides."""
    torch.manual_seed(2)
    layer = quantize.VectorQuantizer(7, 13)
    return rounded(ConvVQVAE(layer, 2, 3, hidden_channels=10, strides=(4,), residual_channels=5, residual_layers=3))


class Script:
    """network.js, and other files, in an embedded V8, with tensors in and out."""

    def __init__(self, *others: str):
        self.engine = MiniRacer()
        for file in ("network.js", *others):
            source = (widgets.HERE / file).read_text(encoding="utf-8")
            self.engine.eval(source.replace("export default", "void"))

    def tell(self, name: str, value) -> None:
        self.engine.eval(f"var {name} = {json.dumps(value)};")

    def load(self, content: bytes) -> None:
        self.tell("bytes", list(content))
        self.engine.eval("var view = new DataView(Uint8Array.from(bytes).buffer);")

    def tensor(self, expression: str) -> torch.Tensor:
        return torch.tensor(json.loads(self.engine.eval(f"JSON.stringify(Array.from({expression}))")))

    def map(self, name: str, image: torch.Tensor) -> None:
        """(1, C, H, W) -> a variable of this name."""
        self.tell(name, image[0].movedim(0, -1).flatten().tolist())
        channels, height, width = image.shape[1:]
        self.engine.eval(f"{name} = network.map({height}, {width}, {channels}, Float32Array.from({name}));")

    def image(self, expression: str) -> torch.Tensor:
        """A map -> (1, C, H, W)."""
        self.engine.eval(f"var result = {expression};")
        shape = json.loads(self.engine.eval("JSON.stringify([result.height, result.width, result.channels])"))
        return self.tensor("result.values").reshape(shape).movedim(-1, 0)[None]


@pytest.mark.parametrize(
    ("model", "size"), [(mnist_model(), (28, 28)), (cifar_model(), (32, 32)), (odd_model(), (12, 20))]
)
def test_the_network_computes_what_the_model_computes(model, size):
    script = Script()
    script.load(save(half_state(model)))
    script.engine.eval("var model = network.vqvae(view);")
    images = torch.rand(1, model.in_channels, *size, generator=torch.Generator().manual_seed(1)) - 0.5
    script.map("image", images)
    latents = model.encoder(images)
    torch.testing.assert_close(script.image("network.latents(model, image)"), latents, atol=1e-4, rtol=0)
    assert latents.std() > 1e-3
    codes = script.tensor("network.encode(model, image)").reshape(1, *latents.shape[2:])
    assert codes.equal(model.encode(images))
    codes = torch.randint(len(model.quantizer.codebook), codes.shape, generator=torch.Generator().manual_seed(2))
    script.tell("codes", codes.flatten().tolist())
    decoded = script.image(f"network.decode(model, codes, {codes.shape[1]}, {codes.shape[2]})")
    torch.testing.assert_close(decoded, model.decode(codes), atol=1e-4, rtol=0)
    assert decoded.std() > 1e-3


@pytest.mark.parametrize("kind", ["convolution", "transposed"])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(4, 2, 1), (3, 1, 1), (1, 1, 0), (5, 3, 2), (2, 2, 0)])
@pytest.mark.parametrize("bias", [True, False])
def test_convolutions_are_those_of_torch(kind, kernel, stride, padding, bias):
    generator = torch.Generator().manual_seed(0)
    channels, outer, size = 3, 7, (9, 11)
    x = torch.randn(1, channels, *size, generator=generator)
    shape = (outer, channels, kernel, kernel) if kind == "convolution" else (channels, outer, kernel, kernel)
    weight, offset = torch.randn(shape, generator=generator), torch.randn(outer, generator=generator)
    script = Script()
    script.map("x", x)
    script.tell("weight", {"shape": shape, "values": weight.flatten().tolist()})
    script.tell("bias", offset.tolist() if bias else None)
    script.engine.eval(f"var layer = network.{kind}(weight, bias, {stride}, {padding});")
    function = F.conv2d if kind == "convolution" else F.conv_transpose2d
    wanted = function(x, weight, offset if bias else None, stride=stride, padding=padding)
    torch.testing.assert_close(script.image("layer.run(layer, x)"), wanted, atol=1e-5, rtol=0)


def test_every_half_is_read_as_torch_reads_it():
    every = torch.arange(65536).to(torch.uint16).view(torch.float16)
    found = Script().engine.eval("JSON.stringify(Array.from({length: 65536}, (_, bits) => String(network.half(bits))))")
    wanted = [value if value == value else None for value in every.tolist()]
    found = [float(value.replace("Infinity", "inf")) for value in json.loads(found)]
    assert [value if value == value else None for value in found] == wanted


def test_tensors_that_are_no_floats_are_left_out_and_float32_is_read():
    script = Script()
    script.load(save({"x": torch.tensor([[1.5, -2.0]]), "count": torch.tensor([3]), "flag": torch.tensor(True)}))
    assert script.engine.eval("JSON.stringify(Object.keys(network.tensors(view)))") == '["x"]'
    assert script.tensor("network.tensors(view).x.values").tolist() == [1.5, -2.0]
    assert script.tensor("network.tensors(view).x.shape").tolist() == [1, 2]


def test_of_two_codes_equally_near_the_lower_is_taken():
    script = Script()
    script.engine.eval("var model = {codebook: [1, 1, 0, 0, 1, 1, 2, 2], K: 4, D: 2};")
    assert script.tensor("network.nearest(model, {values: [1, 1, 0, 0, 1.5, 1.5]})").tolist() == [0, 1, 0]


# ---- the Python half ----
@pytest.fixture(scope="module")
def trained() -> ResNetVQVAE:
    return weights.load("mnist_grid")


def test_codes_go_in_as_any_kind_and_come_out_as_a_tensor(trained):
    widget = Grid(trained)
    assert widget.grid.dtype == torch.int64
    assert widget.grid.shape == (7, 7)
    wanted = trained.encode(widget.image[None, None].float() / 255 - 0.5)[0]
    assert widget.grid.equal(wanted)
    other = torch.arange(49).reshape(7, 7)
    for kind in (other, other.numpy(), other.tolist()):
        widget.codes = kind
        assert widget.codes == other.tolist()
    assert Grid(trained, codes=other).grid.equal(other)


def test_an_image_that_is_set_is_encoded(trained):
    images = torch.randint(256, (3, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    widget = Grid(trained, images, image=1)
    assert widget.image.equal(images[1])
    widget.image = images[2]
    assert widget.image.equal(images[2])
    assert widget.grid.equal(trained.encode(images[2][None, None].float() / 255 - 0.5)[0])


def test_the_weights_are_those_of_the_model_as_it_was(trained):
    model = mnist_model(seed=4)
    widget = Grid(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    file = load(widget.weights["own"])
    assert set(file) == {name for name in before if name.startswith(("encoder", "decoder"))} | {"quantizer.codebook"}
    assert all(value.dtype == torch.float16 and value.float().equal(before[name]) for name, value in file.items())
    with torch.no_grad():
        model.quantizer.codebook.zero_()
    assert load(widget.weights["own"])["quantizer.codebook"].float().equal(before["quantizer.codebook"])


def test_a_library_layer_will_do():
    layer = vector_quantize_pytorch.VectorQuantize(8, 16, accept_image_fmap=True)
    widget = Grid(ResNetVQVAE(layer, in_channels=3, hidden_channels=8))
    assert widget.grid.shape == (8, 8)
    assert load(widget.weights["own"])["quantizer.codebook"].shape == (16, 8)


def broken(model, name, value):
    model.get_parameter(name).data[0] = value
    return model


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model: Grid("mnist"), "no model 'mnist'.*'mnist_grid', 'cifar10'"),
        (lambda model: Grid(torch.nn.Linear(2, 2)), "is a Linear; wanted a ResNetVQVAE"),
        (lambda model: Grid(ConvVQVAE(quantize.VectorQuantizer(4, 8), 1)), "axes=2"),
        (lambda model: Grid(ResNetVQVAE(quantize.VectorQuantizer(4, 8), in_channels=2)), "in_channels is 1 or 3"),
        (lambda model: Grid(ConvVQVAE(quantize.VectorQuantizer(4, 8), 2, strides=(2, 1))), "strides that are even"),
        (lambda model: Grid(ConvVQVAE(quantize.VectorQuantizer(4, 8), 2, strides=((2, 4), (2, 2)))), "square"),
        (lambda model: Grid(broken(mnist_model(), "encoder.0.weight", float("nan"))), "encoder.0.weight.*finite"),
        (lambda model: Grid(broken(mnist_model(), "decoder.4.bias", 1e6)), "decoder.4.bias.*finite.*65,504"),
        (lambda model: Grid(model, torch.rand(2, 28, 28)), r"float32; wanted \(N, H, W\), uint8"),
        (lambda model: Grid(model, torch.zeros(28, 28).byte()), r"shape \(28, 28\)"),
        (lambda model: Grid(model, torch.zeros(0, 28, 28).byte()), r"shape \(0, 28, 28\)"),
        (lambda model: Grid(model, torch.zeros(1, 28, 30).byte()), "28 x 30.*divisible"),
        (lambda model: Grid(model, torch.zeros(1, 28, 400).byte()), "at most 32 x 32"),
        (lambda model: Grid(model, image=10), "wanted 0 to 9"),
        (lambda model: Grid(model, labels=["seven"]), "1 labels for 10 images"),
        (lambda model: Grid(model, codes=torch.zeros(7, 7)), "wanted whole numbers"),
        (lambda model: Grid(model, codes=torch.zeros(6, 7).long()), r"\(6, 7\).*wanted.*\(7, 7\)"),
        (lambda model: Grid(model, codes=torch.full((7, 7), 64)), "codes 0 to 63"),
        (lambda model: setattr(Grid(model), "codes", torch.full((7, 7), -1)), "from -1"),
        (lambda model: setattr(Grid(model), "image", torch.zeros(32, 32).byte()), "32 x 32; this widget"),
    ],
)
def test_bad_input_is_refused_in_words(trained, call, words):
    with pytest.raises(ValueError, match=words):
        call(trained)


def test_the_picture_and_its_words(trained):
    png, alt = Grid(trained).picture()
    assert png.startswith(b"\x89PNG")
    assert "7 by 7 codes out of 64" in alt


def test_look_alikes_lie_side_by_side():
    values = torch.tensor([0.1, 0.9, 0.2, 0.8, 0.5])
    order = grid._alike(values[:, None, None, None].expand(-1, 1, 4, 4))
    assert order in ([1, 3, 4, 2, 0], [1, 3, 4, 0, 2])


def test_a_colour_says_where_the_ink_of_a_code_lies(trained, monkeypatch):
    looks = torch.zeros(7, 1, 4, 4)
    looks[0, :, :2], looks[1, :, :, 2:], looks[2, :, 2:], looks[3, :, :, :2], looks[4] = 1, 1, 1, 1, 1
    looks[5, :, :2] = 0.2
    monkeypatch.setattr(grid, "_looks", lambda model: looks)
    found = grid.code_colours(trained)
    hues = torch.tensor([to_rgb(colour) for colour in grid.SIDES.values()])
    night = torch.tensor(to_rgb(found[6])).float()  # no ink
    colours = torch.tensor([to_rgb(colour) for colour in found[:6]])
    near = torch.cosine_similarity((colours - night)[:, None], (hues - night)[None], dim=2)
    assert near.argmax(1).tolist() == [0, 1, 2, 3, 4, 0]
    assert (colours[5] - night).norm() < (colours[0] - night).norm() < (hues[0] - night).norm()
    assert found[4].lower() == grid.SIDES["all over"].lower()


def test_a_model_in_training_has_colours():
    assert len(grid.code_colours(ResNetVQVAE(quantize.VectorQuantizer(4, 8), in_channels=1))) == 8


def test_on_photographs_a_code_has_the_colour_of_what_it_draws(monkeypatch):
    monkeypatch.setattr(grid, "_looks", lambda model: torch.tensor([[1, 0, 0], [0, 0.2, 1]])[:, :, None, None])
    assert grid.code_colours(None) == ["#ff0000", "#0033ff"]


# ---- the drawing, without a browser ----
def test_a_drawing_is_placed_as_mnist_places_its_digits():
    script = Script("pad.js", "grid.js")
    strokes = [[[3, 2], [9, 2]], [[9, 2], [5, 20]]]
    script.tell("strokes", strokes)
    image = script.tensor("core.drawing(strokes, 28, 28)").reshape(28, 28)
    rows = image.sum(1).nonzero().flatten()
    assert 19 <= rows.max() - rows.min() + 1 <= 22  # the box, and the soft edge
    mass = image / image.sum()
    middle = torch.arange(28) + 0.5
    assert (mass.sum(1) @ middle).item() == pytest.approx(14, abs=0.1)
    assert (mass.sum(0) @ middle).item() == pytest.approx(14, abs=0.1)
    script.tell("larger", [[[3 + 4 * x, 2 + 4 * y] for x, y in stroke] for stroke in strokes])
    assert script.tensor("core.drawing(larger, 28, 28)").reshape(28, 28).sub(image).abs().max() <= 1
    assert script.tensor("core.drawing([], 28, 28)").sum() == 0
    dot = script.tensor("core.drawing([[[3, 3]]], 28, 28)").reshape(28, 28)
    assert dot[13:15, 13:15].min() == 255
    assert (dot > 127).sum() <= 9


def test_perplexity_and_the_nearest_codes_are_those_of_the_course(trained):
    script = Script("pad.js", "grid.js")
    codes = torch.tensor([3, 3, 1, 5, 5, 5, 0])
    found = script.engine.eval(f"core.perplexity({codes.tolist()})")
    assert found == pytest.approx(quantize.perplexity(codes, 8).item(), rel=1e-5)
    codebook = trained.quantizer.codebook
    script.tell("model", {"codebook": codebook.flatten().tolist(), "K": 64, "D": 16})
    wanted = torch.cdist(codebook[7:8], codebook)[0].argsort()
    assert script.tensor("core.nearestFirst(model, 7)").tolist() == wanted.tolist()


# ---- in a browser ----
def page_of(widget) -> str:
    return widgets.page(widget, weights=widget.weights)


def codes_of(page) -> list[int]:
    return [int(code) for code in page.locator(".vq-grid").get_attribute("data-codes").split(",")]


def channel(canvas, index: int) -> torch.Tensor:
    """One channel of a canvas of 28 x 28 pixels, (28, 28)."""
    script = "node => Array.from(node.getContext('2d').getImageData(0, 0, 28, 28).data)"
    return torch.tensor(canvas.evaluate(script)).reshape(28, 28, 4)[..., index]


def seen(page) -> torch.Tensor:
    """What the model sees, as the page shows it."""
    return channel(page.locator(".vq-grid-seen canvas"), 0)


def picture(page) -> torch.Tensor:
    """What is drawn from the codes."""
    return channel(page.locator(".vq-grid-picture canvas").first, 0)


def wait_for_other_codes(page, before: list[int]) -> None:
    page.wait_for_selector(f'.vq-grid:not([data-codes="{",".join(map(str, before))}"])')


def cell(page, row: int, column: int):
    return page.get_by_role("gridcell", name=re.compile(f"^row {row}, column {column},"))


def has(page, **figures) -> None:
    """Waits until the root element carries these figures."""
    for name, value in figures.items():
        page.wait_for_selector(f'.vq-grid[data-{name}="{value}"]')


def draw_a_seven(page) -> None:
    box = page.locator(".vq-pad").bounding_box()
    corners = (0.2, 0.2), (0.8, 0.2), (0.4, 0.9)
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=6)
    page.mouse.up()


def test_a_digit_is_drawn_and_encoded_and_one_code_is_changed(visit, trained):
    with visit(widgets.page(Grid(), weights={"mnist_grid": weights.read("mnist_grid")})) as page:
        has(page, changed=0, bits=294)
        before = codes_of(page)
        draw_a_seven(page)
        page.wait_for_function(
            "before => document.querySelector('.vq-grid').dataset.codes !== before", arg=",".join(map(str, before))
        )
        page.get_by_text("Your drawing as 49 codes").first.wait_for()
        image = seen(page)
        assert 20 < (image > 127).sum() < 200
        latents = trained.encoder(image[None, None].float() / 255 - 0.5)[0].movedim(0, -1).flatten(0, 1)
        chosen = torch.tensor(codes_of(page))
        distances = torch.cdist(latents, trained.quantizer.codebook)
        assert (distances.gather(1, chosen[:, None])[:, 0] - distances.amin(1)).max() < 1e-4
        decoded = trained.decode(chosen.reshape(1, 7, 7))[0, 0]
        assert (picture(page) - ((decoded + 0.5).clamp(0, 1) * 255)).abs().max() <= 1
        error = F.mse_loss(decoded, image.float() / 255 - 0.5).item()
        assert float(page.locator(".vq-grid").get_attribute("data-error")) == pytest.approx(error, abs=1e-4)

        old = picture(page)
        cell(page, 4, 3).click()
        code = next(code for code in range(64) if code != chosen[3 * 7 + 2])
        page.get_by_role("option", name=f"code {code}", exact=True).click()
        page.mouse.move(1, 1)
        has(page, changed=1)
        after = codes_of(page)
        assert after[3 * 7 + 2] == code
        assert sum(a != b for a, b in zip(after, chosen.tolist())) == 1
        moved = (picture(page) - old).abs()
        assert moved[12:16, 8:12].max() > 2
        page.get_by_role("button", name="Undo", exact=True).click()
        has(page, changed=0)
        page.get_by_role("button", name="Redo").click()
        has(page, changed=1)
        page.get_by_role("button", name="Reset").click()
        has(page, changed=0)
        assert codes_of(page) == chosen.tolist()


def test_the_keyboard_does_the_same(visit, trained):
    with visit(page_of(Grid(trained))) as page:
        has(page, changed=0)
        before = codes_of(page)
        page.locator(".vq-pad").focus()
        for key in (*["ArrowUp"] * 2, "Space", *["ArrowRight"] * 3, "Space", *["ArrowDown"] * 6, "Space", "Enter"):
            page.keyboard.press(key)
        page.get_by_text("Your drawing as 49 codes").first.wait_for()
        assert seen(page).max() == 255
        page.wait_for_function(
            "before => document.querySelector('.vq-grid').dataset.codes !== before", arg=",".join(map(str, before))
        )

        cell(page, 4, 4).focus()
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
        place = 2 * 7 + 2
        page.keyboard.press("Enter")
        assert page.locator(":focus").get_attribute("role") == "option"
        page.keyboard.press("ArrowRight")
        wanted = int(page.locator(":focus").get_attribute("data-code"))
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
        assert page.locator(":focus").get_attribute("data-place") == str(place)
        assert page.get_by_role("listbox").count() == 0
        assert codes_of(page)[place] == wanted
        page.keyboard.press("Control+z")
        has(page, changed=0)
        code = (codes_of(page)[place] + 1) % 10 + 20
        page.keyboard.type(str(code))
        has(page, changed=1)
        assert codes_of(page)[place] == code
        assert f"code {code}" in page.get_by_role("status").inner_text()


def test_paint_pick_up_and_swap(visit, trained):
    with visit(page_of(Grid(trained, codes=torch.arange(49).reshape(7, 7)))) as page:
        has(page, bits=294)
        page.get_by_role("button", name="Pick").click()
        cell(page, 1, 3).click()
        start, end = (cell(page, 5, column).bounding_box() for column in (2, 6))
        page.mouse.move(start["x"] + 9, start["y"] + 9)
        page.mouse.down()
        page.mouse.move(end["x"] + 9, end["y"] + 9, steps=12)
        page.mouse.up()
        page.get_by_text("5 places hold code 2 now").first.wait_for()
        assert codes_of(page)[28:35] == [28, 2, 2, 2, 2, 2, 34]
        page.get_by_role("button", name="Undo", exact=True).click()
        page.wait_for_selector(f'.vq-grid[data-codes="{",".join(map(str, range(49)))}"]')
        page.get_by_role("button", name="Swap").click()
        cell(page, 1, 1).click()
        cell(page, 7, 7).click()
        page.get_by_text("have exchanged codes 0 and 48").first.wait_for()
        page.wait_for_selector(f'.vq-grid[data-codes="{",".join(map(str, [48, *range(1, 48), 0]))}"]')


def test_by_finger_on_a_phone(visit, trained):
    with visit(page_of(Grid(trained)), width=390, height=844) as page:
        has(page, changed=0)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert cell(page, 1, 1).bounding_box()["width"] >= 40
        page.get_by_role("button", name="Image: 3").tap()
        page.get_by_text("3 as 49 codes").first.wait_for()
        cell(page, 2, 2).tap()
        page.wait_for_timeout(600)  # the palette scrolls into sight
        option = page.locator("[role=option][aria-selected=false]").nth(4)
        option.tap()
        has(page, changed=1)
        for part in (page.locator(".vq-grid-picture"), cell(page, 2, 2), option):
            box = part.bounding_box()
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= 844


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_nothing_keeps_anybody_from_using_it(visit, trained, width, dark):
    with visit(page_of(Grid(trained)), width=width, dark=dark) as page:
        has(page, changed=0)
        cell(page, 2, 2).click()
        page.get_by_role("listbox").get_by_role("option").nth(5).click()
        has(page, changed=1)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_photographs_come_with_a_palette_by_pages(visit):
    with visit(widgets.page(Grid("cifar10"), weights={"cifar10": weights.read("cifar10")})) as page:
        has(page, changed=0, bits=576)
        assert page.locator(".vq-pad[role=application]").count() == 0
        page.get_by_role("button", name="Image: frog").click()
        cell(page, 8, 8).click()
        now = codes_of(page)[-1]
        assert page.get_by_role("listbox").get_by_role("option").count() == 48
        assert page.get_by_role("listbox").get_by_role("option").first.get_attribute("data-code") == str(now)
        page.get_by_role("button", name="Later codes").click()
        page.get_by_text("49–96 of 512").wait_for()
        code = (now + 77) % 512
        page.get_by_role("spinbutton").fill(str(code))
        page.keyboard.press("Enter")
        has(page, changed=1)
        assert codes_of(page)[-1] == code


def test_a_place_shows_which_pixels_it_moves(visit, trained):
    with visit(page_of(Grid(trained))) as page:
        has(page, changed=0)
        cell(page, 2, 6).hover()
        page.get_by_text("Row 2, column 6").wait_for()
        canvas = page.locator(".vq-grid-picture canvas").nth(1)
        page.wait_for_timeout(400)
        heat = channel(canvas, 3)
        assert heat.max() > 150
        row, column = divmod(heat.argmax().item(), 28)
        assert 2 <= row < 10
        assert 18 <= column < 26
        page.mouse.move(1, 1)
        canvas.wait_for(state="hidden")


# ---- what must not go wrong under one's hand ----
COLUMN = 712  # the page's column on the site is 680 pixels wide, and this page has 16 on either side


def top_of(locator) -> float:
    return locator.bounding_box()["y"]


def is_seen(page, locator, under: float = 0) -> bool:
    box = locator.bounding_box()
    return box["y"] >= under and box["y"] + box["height"] <= page.viewport_size["height"]


@pytest.mark.parametrize("width", [COLUMN, 390])
def test_nothing_moves_while_one_draws(visit, trained, width):
    with visit(page_of(Grid(trained)), width=width) as page:
        has(page, changed=0)
        parts = [page.locator(part) for part in (".vq-pad", ".vq-grid-cells", ".vq-grid-picture")]
        places = [part.bounding_box() for part in parts]
        box, caption = places[0], page.locator(".vq-caption")
        page.mouse.move(box["x"] + 40, box["y"] + 40)
        page.mouse.down()
        page.get_by_text("The codes follow the pen").wait_for()
        assert [part.bounding_box() for part in parts] == places
        page.mouse.move(box["x"] + 90, box["y"] + 120, steps=5)
        page.mouse.up()
        page.get_by_text("Your drawing as 49 codes").first.wait_for()
        assert [part.bounding_box() for part in parts] == places
        height = caption.bounding_box()["height"]
        for name in ("Random", "Pick", "Paint", "Swap", "Change", "Clear"):
            page.get_by_role("button", name=name).click()
            page.wait_for_timeout(60)
            assert caption.bounding_box()["height"] == height, name


def test_drawing_codes_and_picture_are_seen_together(visit, trained):
    with visit(page_of(Grid(trained)), width=COLUMN, height=800) as page:
        has(page, changed=0)
        root = top_of(page.locator(".vq-grid"))
        for part in (".vq-pad", ".vq-grid-cells", ".vq-grid-picture"):
            box = page.locator(part).bounding_box()
            assert box["y"] + box["height"] - root < 420, part
        page.evaluate("scrollTo(0, 60)")
        at = cell(page, 7, 2)
        at.click()
        page.wait_for_timeout(700)
        parts = [page.locator(".vq-grid-picture"), at, page.get_by_role("listbox").get_by_role("option").nth(14)]
        assert all(is_seen(page, part) for part in parts)
        assert page.locator(".vq-grid-list :hover").count() == 0
        has(page, changed=0)


def test_the_picture_stays_in_sight_where_wide_outputs_scroll(visit, trained):
    """The site's theme does so, below a bar of its own."""
    html = page_of(Grid(trained))
    theme = "main { padding-bottom: 900px } :root { --pst-header-height: 64px }"
    theme += " div.cell_output .output { max-width: 100%; overflow-x: auto }"
    html = html.replace("<style>", f"<style>{theme}", 1)
    html = re.sub(
        r'(<div class="vq-host".*?</div>)', r'<div class="cell_output"><div class="output">\1</div></div>', html
    )
    with visit(html, width=390, height=844) as page:
        has(page, changed=0)
        page.evaluate("scrollTo(0, document.querySelector('.vq-grid-cells').getBoundingClientRect().top)")
        page.wait_for_timeout(100)
        assert top_of(page.locator(".vq-grid-cells")) < 64
        assert is_seen(page, page.locator(".vq-grid-picture"), under=64)
        cell(page, 6, 2).tap()
        page.wait_for_timeout(700)
        for part in (
            page.locator(".vq-grid-picture"),
            cell(page, 6, 2),
            page.get_by_role("listbox").get_by_role("option").first,
        ):
            assert is_seen(page, part, under=64)


def test_a_stroke_over_changed_codes_can_be_undone(visit, trained):
    with visit(page_of(Grid(trained))) as page:
        has(page, changed=0)
        image = seen(page)
        cell(page, 3, 3).focus()
        page.keyboard.type("41")
        has(page, changed=1)
        edited = codes_of(page)
        draw_a_seven(page)
        page.get_by_text("Your drawing as 49 codes").first.wait_for()
        wait_for_other_codes(page, edited)
        drawn, drawing = codes_of(page), seen(page)
        cell(page, 3, 3).focus()
        page.keyboard.type("40")
        has(page, changed=1)
        page.locator(".vq-pad").focus()
        page.keyboard.press("Control+z")  # a stroke, with what was changed after it
        has(page, codes=",".join(map(str, edited)), changed=1)
        assert seen(page).equal(image)
        page.keyboard.press("Control+y")
        has(page, codes=",".join(map(str, drawn)), changed=0)
        assert seen(page).equal(drawing)
        page.get_by_role("button", name="Image: 3").click()
        page.get_by_text("3 as 49 codes").first.wait_for()
        page.keyboard.press("Control+z")
        has(page, codes=",".join(map(str, drawn)))
        page.get_by_role("button", name="Undo stroke").click()
        has(page, codes=",".join(map(str, edited)))


def test_a_stroke_begun_before_the_last_was_shown_is_undone_alone(visit, trained):
    with visit(page_of(Grid(trained))) as page:
        has(page, changed=0)
        page.locator(".vq-pad").focus()
        page.evaluate("""() => {
            const down = (key) => new KeyboardEvent("keydown", { key, bubbles: true });
            const press = (key) => document.activeElement.dispatchEvent(down(key));
            [" ", "ArrowUp", "ArrowUp", " ", "Enter", "ArrowRight", " ", "ArrowDown", " ", "Enter"].forEach(press);
        }""")
        page.get_by_text("Your drawing as 49 codes").first.wait_for()
        both = seen(page)
        page.keyboard.press("Backspace")
        page.wait_for_timeout(100)
        one = seen(page)
        assert one.max() == 255
        assert not one.equal(both)


def test_the_focus_stays_in_the_widget(visit, trained):
    with visit(page_of(Grid(trained))) as page:
        has(page, changed=0)
        cell(page, 3, 3).focus()
        page.keyboard.type("41")
        has(page, changed=1)
        page.get_by_role("button", name="Undo", exact=True).focus()
        page.keyboard.press("Enter")
        has(page, changed=0)
        assert page.locator(".vq-grid :focus").inner_text() == "Redo"
        page.keyboard.press("Control+y")
        has(page, changed=1)
        assert page.locator(".vq-grid :focus").count() == 1
        page.get_by_role("button", name="Clear").focus()
        page.keyboard.press("Enter")
        page.wait_for_function("document.activeElement.getAttribute('role') === 'application'")


def test_the_palette_says_what_is_near_and_which_numbers_there_are(visit):
    with visit(widgets.page(Grid("cifar10"), weights={"cifar10": weights.read("cifar10")}), width=COLUMN) as page:
        has(page, changed=0)
        cell(page, 4, 4).click()
        now = codes_of(page)[3 * 8 + 3]
        order = page.get_by_role("combobox", name="Order of the codes")
        assert order.locator("option:checked").inner_text() == f"nearest to {now}"
        page.get_by_text(f"By distance in the codebook from code {now}.").wait_for()
        cell(page, 4, 5).click()
        assert order.locator("option:checked").inner_text() == f"nearest to {codes_of(page)[3 * 8 + 4]}"
        wanted = page.get_by_label("Code number, 0 to 511")
        for wrong in ("512", "-1", "2.5"):
            wanted.fill(wrong)
            page.get_by_text("There is no such code: they go from 0 to 511.").wait_for()
            page.keyboard.press("Enter")
            has(page, changed=0)
            wanted.fill("")
            page.get_by_text("By distance in the codebook").wait_for()
        buttons = [page.get_by_role("button", name=f"{which} codes") for which in ("First", "Earlier", "Later", "Last")]
        first, earlier, later, last = buttons
        places = [button.bounding_box() for button in buttons]
        for button in (later, later, last, earlier, first):
            button.click()
            assert [button.bounding_box() for button in buttons] == places
        last.click()
        assert page.get_by_role("listbox").get_by_role("option").count() == 512 % 48
        assert page.locator(".vq-grid :focus").count() == 1
        close, palette = (page.locator(part).bounding_box() for part in (".vq-grid-close", ".vq-grid-palette"))
        assert close["x"] + close["width"] == pytest.approx(palette["x"] + palette["width"], abs=1)


def test_a_tile_without_its_picture_is_seen_to_wait(visit):
    with visit(widgets.page(Grid("cifar10"), weights={"cifar10": weights.read("cifar10")}), width=390) as page:
        has(page, changed=0)
        page.evaluate("""() => {
            window.done = [];
            const options = { subtree: true, attributeFilter: ["class"], attributeOldValue: true };
            new MutationObserver((changes) => {
                for (const { target, oldValue } of changes)
                    if (oldValue?.includes("waits") && !target.className.includes("waits"))
                        done.push(target.getBoundingClientRect().x);
            }).observe(document.querySelector(".vq-grid-palette"), options);
        }""")
        style = """() => {
            const cell = document.querySelectorAll(".vq-grid-cell")[20];
            cell.focus();
            cell.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
            const tiles = [...document.querySelectorAll(".vq-grid-list canvas")];
            return tiles.map((tile) => getComputedStyle(tile).backgroundImage.slice(0, 9));
        }"""
        assert set(page.evaluate(style)) == {"repeating"}
        page.wait_for_function("done.length === 48")
        where = torch.tensor(page.evaluate("done"))
        inside = int((where < 360).sum())
        assert 8 <= inside < 24
        assert where[:inside].max() < where[inside:].min()
        assert page.locator(".vq-grid-waits").count() == 0


def test_no_figure_and_no_code_is_told_where_there_is_none(visit, trained):
    with visit(page_of(Grid(trained)), width=COLUMN) as page:
        has(page, changed=0)
        page.add_style_tag(content="dt { font-weight: 700 }")
        for name in ("MSE", "NMSE", "perplexity"):
            term = page.locator("dt", has_text=re.compile(f"^{name}$"))
            gap = "node => node.nextElementSibling.getClientRects()[0].left - node.getBoundingClientRect().right"
            assert term.evaluate(gap) >= 5
            assert len(term.locator("..").get_attribute("title")) > 20
        assert "294 bits (8-bit pixels: 6,272)" in page.locator("dl").inner_text()
        page.get_by_text("What the numbers mean").click()
        page.get_by_text("Mean squared error").wait_for()
        page.get_by_role("button", name="Clear").click()
        page.wait_for_function("document.querySelectorAll('.vq-grid dd')[1].textContent === '–'")
        page.get_by_role("button", name="Image: 7").click()
        paint = page.get_by_role("button", name="Paint")
        paint.click()
        page.get_by_text("Paint: choose the code for the brush").wait_for()
        assert paint.inner_text().strip() == "Paint"
        page.get_by_role("option", name="code 41", exact=True).click()
        assert paint.inner_text().split() == ["Paint", "41"]


def test_held_to_compare(visit, trained):
    with visit(page_of(Grid(trained))) as page:
        has(page, changed=0)
        compare = page.get_by_role("button", name="Hold to compare")
        assert compare.is_disabled()
        own = picture(page)
        cell(page, 3, 3).focus()
        page.keyboard.type("41")
        has(page, changed=1)
        changed = picture(page)
        assert not changed.equal(own)
        compare.hover()
        page.mouse.down()
        page.get_by_text("From the encoder’s codes").wait_for()
        assert picture(page).equal(own)
        page.mouse.up()
        page.get_by_text("Drawn from the codes", exact=True).wait_for()
        assert picture(page).equal(changed)
        compare.focus()
        page.keyboard.down("Space")
        page.get_by_text("From the encoder’s codes").wait_for()
        page.keyboard.up("Space")
        page.get_by_text("Drawn from the codes", exact=True).wait_for()
        has(page, changed=1)


def test_on_a_page_without_its_weights_the_picture_stays(visit, trained):
    with visit(widgets.page(Grid(trained))) as page:
        assert page.get_by_role("img").get_attribute("alt").startswith("An image of 28 by 28")
        assert page.locator(".vq-grid").count() == 0


@pytest.mark.slow
def test_times(visit, trained):
    """Printed, never asserted: they are the machine's."""
    timed = """([bytes, count]) => {
        const { core } = vqWidgets.grid;
        const content = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
        const model = core.vqvae(new DataView(content.buffer));
        const side = model.channels === 1 ? 28 : 32;
        const codes = new Int32Array((side * side) / 16);
        const image = core.map(side, side, model.channels, new Float32Array(side * side * model.channels));
        const spent = (run) => {
            const start = performance.now();
            run();
            return performance.now() - start;
        };
        const times = (run) => Array.from({ length: count }, () => spent(run));
        return [times(() => core.decode(model, codes, side / 4, side / 4)), times(() => core.encode(model, image))];
    }"""
    with visit(page_of(Grid(trained))) as page:
        for model in (trained, cifar_model()):
            content = base64.b64encode(Grid(model).weights["own"]).decode()
            times = torch.tensor(page.evaluate(timed, [content, 60])).quantile(torch.tensor([0.0, 0.5, 0.95]), dim=1).T
            for what, (least, median, most) in zip(("decode", "encode"), times.tolist()):
                print(
                    f"{model.in_channels} channels, {what}: {least:.1f}, {median:.1f}, {most:.1f} ms (min, median, 95%)"
                )
        page.evaluate("""() => {
            window.gaps = [];
            let last = performance.now();
            const tick = (now) => {
                gaps.push(now - last);
                last = now;
                requestAnimationFrame(tick);
            };
            requestAnimationFrame(tick);
        }""")
        draw_a_seven(page)
        for column in (1, 3, 5, 7, 2, 4):
            cell(page, 3, column).hover()
        least, median, most = torch.tensor(page.evaluate("gaps")).quantile(torch.tensor([0.0, 0.5, 0.95])).tolist()
        print(f"frames while drawing and hovering: {least:.1f}, {median:.1f}, {most:.1f} ms (min, median, 95%)")
