"""The sampler: its arithmetic against course_lib.priors, its Python half, and the widget as people use it."""

import json
import math

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from py_mini_racer import MiniRacer
from scipy.ndimage import center_of_mass
from scipy.stats import chisquare

from course_lib import priors, weights
from course_lib.lesson import widgets
from course_lib.lesson.widgets.sampler import Sampler
from course_lib.models import MLPVQVAE, ConvVQVAE, ResNetVQVAE
from course_lib.priors import CodeTransformer, PixelCNN
from course_lib.quantize import VectorQuantizerEMA

PRIORS = {
    "stored size": lambda: CodeTransformer(64, (7, 7), classes=10, channels=128, layers=4, heads=4),
    "odd sizes": lambda: CodeTransformer(13, (3, 5), classes=2, channels=12, layers=2, heads=3),
    "no classes": lambda: CodeTransformer(7, (2, 2), channels=8, layers=1, heads=1),
    "quick": lambda: CodeTransformer(64, (7, 7), classes=10, channels=16, layers=1, heads=2),
}


def prior_of(name: str) -> CodeTransformer:
    """Lively random weights, so that predictions differ."""
    torch.manual_seed(1)
    prior = PRIORS[name]()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.mul_(2.0 if parameter.ndim > 1 else 1.1)
        prior.position.mul_(20)
    return prior


def vqvae_of(prior: CodeTransformer, channels: int = 1) -> ResNetVQVAE:
    torch.manual_seed(0)
    layer = VectorQuantizerEMA(4, prior.codebook_size)
    return ResNetVQVAE(layer, channels, hidden_channels=8, residual_channels=4, residual_layers=1)


def sampler_of(name: str, **settings) -> Sampler:
    prior = prior_of(name)
    return Sampler(vqvae=vqvae_of(prior), prior=prior, **settings)


pytestmark = pytest.mark.usefixtures("one_thread")


# ----------------------------------------------------------------------------------------------------------------------
# The arithmetic


class Script:
    """sampler.js in an embedded V8, with the prior of a widget."""

    def __init__(self, sampler: Sampler):
        self.engine = MiniRacer()
        self.engine.eval(f"var window = globalThis; {widgets.script('sampler')} var core = vqWidgets.sampler.core;")
        self.engine.eval((widgets.HERE / "pad.js").read_text(encoding="utf-8"))
        self.load("prior", sampler.weights["own_prior"])

    def load(self, name: str, content: bytes) -> None:
        self.engine.eval(f"var hex = '{content.hex()}';")
        self.engine.eval(
            "var bytes = Uint8Array.from({length: hex.length / 2}, (_, i) => parseInt(hex.substr(2 * i, 2), 16));"
        )
        self.engine.eval(f"var {name} = core.priorOf(new DataView(bytes.buffer));")

    def get(self, expression: str):
        return json.loads(self.engine.eval(f"JSON.stringify({expression}, (_, x) => x?.buffer ? Array.from(x) : x)"))


@pytest.fixture(scope="module", params=PRIORS)
def golden(request):
    """The script, and the same prior in torch with the weights that the script got."""
    sampler = sampler_of(request.param)
    return Script(sampler), sampler._prior.double()


@pytest.fixture(scope="module")
def script():
    return Script(sampler_of("odd sizes"))


def some_codes(prior, seed: int = 0) -> torch.Tensor:
    return torch.randint(prior.codebook_size, (1, *prior.grid), generator=torch.Generator().manual_seed(seed))


def test_logits_at_every_place_are_those_of_torch(golden):
    script, prior = golden
    codes = some_codes(prior)
    for label in {0, prior.classes}:
        wanted = prior(codes, torch.tensor([label]))[0].flatten(1).T  # (H W, K)
        flat = codes.flatten().tolist()
        script.engine.eval(f"var memory = core.memoryOf(prior, {label}), codes = {flat};")
        found = torch.tensor(script.get("codes.map((_, place) => core.logitsAt(prior, memory, codes, place))")).double()
        assert found.shape == wanted.shape
        assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()


def test_no_label_is_the_label_any(golden):
    script, prior = golden
    codes = some_codes(prior)
    found = torch.tensor(
        script.get(f"core.logitsAt(prior, core.memoryOf(prior, prior.any), {codes.flatten().tolist()}, 2)")
    )
    assert torch.allclose(found.double(), prior(codes)[0].flatten(1)[:, 2], rtol=1e-4, atol=1e-4)


def test_what_is_remembered_changes_nothing(golden):
    """Forth, back, another code in the middle, forth: the same numbers as without a memory."""
    script, prior = golden
    places = math.prod(prior.grid)
    one, other = (some_codes(prior, seed).flatten().tolist() for seed in (0, 1))
    other[0] = one[0]
    script.engine.eval("var memory = core.memoryOf(prior, 0);")
    for codes, place in ((one, places - 1), (one, 1), (other, 0), (other, places - 1), (one, places // 2)):
        kept, fresh = (
            script.get(f"core.logitsAt(prior, {memory}, {codes}, {place})")
            for memory in ("memory", "core.memoryOf(prior, 0)")
        )
        assert kept == fresh


def test_bits_are_those_of_the_library(golden):
    script, prior = golden
    codes = some_codes(prior, 3)
    costs = script.get(f"core.costs(prior, core.memoryOf(prior, prior.any), {codes.flatten().tolist()})")
    assert np.mean(costs) == pytest.approx(priors.bits_per_code(prior(codes), codes).item(), rel=1e-4)


def test_the_coldest_grid_is_the_librarys(golden):
    script, prior = golden
    label = torch.tensor([prior.classes])
    known = torch.full((1, *prior.grid), -1)
    known[0, 0, :2] = torch.tensor([3, 1])
    wanted = priors.sample(prior, 1, labels=label, temperature=0.0, known=known)
    assert script.get("core.finish(prior, core.memoryOf(prior, prior.any), [3, 1], 0, 5)") == wanted.flatten().tolist()


def test_erf(script):
    x = torch.linspace(-7, 7, 1001, dtype=torch.float64)
    found = torch.tensor(script.get(f"{x.tolist()}.map(core.erf)"), dtype=torch.float64)
    assert torch.allclose(found, torch.erf(x), rtol=0, atol=1e-14)


@pytest.mark.parametrize("temperature", (0.05, 0.7, 1.0, 3.0))
def test_softmax_and_entropy(script, temperature):
    logits = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4
    wanted = (logits / temperature).softmax(0)
    script.engine.eval(f"var chances = core.softmax({logits.tolist()}, {temperature});")
    assert script.get("chances") == pytest.approx(wanted.tolist(), abs=1e-12)
    entropy = torch.distributions.Categorical(probs=wanted).entropy().item() / math.log(2)
    assert script.get("core.entropy(chances)") == pytest.approx(entropy, abs=1e-6)


def test_at_temperature_0_the_likeliest_has_all_and_of_equals_the_first(script):
    script.engine.eval("var chances = core.softmax([1, 5, 2, 5], 0);")
    assert script.get("chances") == [0, 1, 0, 0] and script.get("core.entropy(chances)") == 0
    assert script.get("[0, 0.5, 0.999].map((u) => core.draw(chances, u))") == [1, 1, 1]


@pytest.mark.parametrize("seed, place", (("i", "0"), ("3", "i")), ids=("many seeds", "many places"))
def test_draws_follow_the_probabilities(script, seed, place):
    chances = torch.tensor([2.0, 0.0, 1.0, -1.0, -40.0]).double().softmax(0)  # the last never comes
    counts = script.get(
        f"Array.from({{length: 5000}}, (_, i) => core.draw({chances.tolist()}, core.uniform({seed}, {place})))"
        ".reduce((counts, k) => (counts[k]++, counts), [0, 0, 0, 0, 0])"
    )
    assert counts[4] == 0
    assert chisquare(counts[:4], 5000 * (chances[:4] / chances[:4].sum()).numpy()).pvalue > 1e-3


def test_a_draw_takes_the_code_at_which_the_running_sum_passes(script):
    assert script.get("[0, 0.24, 0.25, 0.7, 0.9999999].map((u) => core.draw([0.25, 0, 0.5, 0.25, 0], u))") == [
        0,
        0,
        2,
        2,
        3,
    ]
    assert (
        script.get("core.draw([0.5, 0.4999999, 0], 0.99999999)") == 1
    )  # the sum ends below u: never an impossible code


def test_random_numbers_are_even_and_depend_on_seed_and_place_alone(script):
    numbers = np.array(script.get("Array.from({length: 20000}, (_, i) => core.uniform(i % 100, Math.floor(i / 100)))"))
    assert chisquare(np.histogram(numbers, 50, (0, 1))[0]).pvalue > 1e-3
    grid = numbers.reshape(200, 100)  # neighbours in seed and in place tell nothing about each other
    for pairs in ((grid[1:], grid[:-1]), (grid[:, 1:], grid[:, :-1])):
        assert abs(np.corrcoef(pairs[0].ravel(), pairs[1].ravel())[0, 1]) < 0.03
    assert script.get("core.uniform(17, 4)") == script.get("core.uniform(17, 4)")


@pytest.mark.parametrize("shift, scale", ((0, 1), (3, 1), (-2, 0.8)))
def test_a_whole_drawing_is_laid_out_as_mnist_is(script, shift, scale):
    """The longer side 20 of 28 pixels, the centre of mass in the middle; what is only begun stays where it is."""
    seven = [[[scale * x + shift + 4, scale * y + 5] for x, y in ((2, 2), (16, 2), (8, 20))]]
    found = script.get(f"core.laidOut({seven}, 28, 28)")
    pixels = np.array(script.get(f"ink({found}, 28, 28)")).reshape(28, 28)
    assert center_of_mass(pixels) == pytest.approx((13.5, 13.5), abs=0.1)
    rows, columns = np.nonzero(pixels > 127)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(20, abs=1)
    top = [[[x, y - 8] for x, y in seven[0]]]
    assert script.get(f"core.laidOut({top}, 28, 28)") == top
    assert script.get("core.laidOut([], 28, 28)") == []


def test_heads_are_4_where_the_file_does_not_say(script):
    """Only the file's metadata can tell; without it the answer would be another."""
    from safetensors.torch import load, save

    sampler = sampler_of("odd sizes")
    script.load("bare", save(load(sampler.weights["own_prior"])))
    assert script.get("[prior.heads, bare.heads]") == [3, 4]


# ----------------------------------------------------------------------------------------------------------------------
# The Python half


def test_settings_and_tensors():
    known = torch.tensor([[3, 1, -1, -1, -1], [-1] * 5, [-1] * 5])
    sampler = sampler_of("odd sizes", label=1, temperature=0.5, known=known, seed=7, panels=("bars",))
    assert sampler.grid.equal(known) and sampler.given == 2
    assert (sampler.label, sampler.temperature, sampler.seed, sampler.panels) == (1, 0.5, 7, ["bars"])
    sampler.codes = np.full((3, 5), 12)
    assert sampler.grid.equal(torch.full((3, 5), 12))
    sampler.label, sampler.temperature = None, torch.tensor(2.0)
    assert sampler.label is None and sampler.temperature == 2.0
    assert sampler.sampled.shape == (0, 3, 5)
    sampler.samples = [{"codes": sampler.codes}]
    assert sampler.sampled.equal(torch.full((1, 3, 5), 12))
    assert json.loads(json.dumps(sampler.state()))["codes"] == sampler.codes


@pytest.mark.parametrize(
    "settings, words",
    (
        ({"label": 2}, "label is 2; wanted a whole number from 0 to 1, or None for any"),
        ({"label": True}, "label is True"),
        ({"label": "7"}, "label is '7'"),
        ({"temperature": -0.1}, r"temperature is -0.1; wanted a finite number >= 0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": "warm"}, "temperature is 'warm'"),
        ({"seed": -1}, "seed is -1"),
        ({"panels": ("bars", "pad")}, "panels holds pad; there are bars, drawing, samples"),
        ({"known": torch.zeros(7, 7).long()}, r"torch.int64 \(7, 7\); wanted \(3, 5\) whole numbers, codes below 13"),
        ({"known": torch.zeros(3, 5)}, r"torch.float32 \(3, 5\)"),
        ({"known": torch.full((3, 5), 13)}, "reach from 13 to 13"),
        ({"known": torch.full((3, 5), -2)}, "reach from -2"),
    ),
)
def test_refuses_in_words(settings, words):
    with pytest.raises(ValueError, match=words):
        sampler_of("odd sizes", **settings)


def test_refuses_a_beginning_with_gaps():
    known = torch.full((3, 5), -1)
    known[2, 1] = 4
    with pytest.raises(ValueError, match=r"row 3, column 2 is known, and one before it is not.*p\(rest \| known\)"):
        sampler_of("odd sizes", known=known)
    sampler = sampler_of("odd sizes")
    with pytest.raises(ValueError, match="without gaps"):
        sampler.codes = known
    assert (sampler.grid == -1).all()


def test_no_classes_no_label():
    with pytest.raises(ValueError, match="label is 0; wanted None: it has no classes"):
        sampler_of("no classes", label=0)


def broken(prior):
    prior.head[1].weight.data[0, 0] = 1e6
    return prior


@pytest.mark.parametrize(
    "models, words",
    (
        (
            lambda p: {"prior": PixelCNN(13, (3, 5), 2), "vqvae": vqvae_of(p)},
            "prior is of type PixelCNN; wanted a CodeTr",
        ),
        (lambda p: {"prior": prior_of("no classes"), "vqvae": vqvae_of(p)}, "prior knows 7 codes, the VQ-VAE has 13"),
        (lambda p: {"prior": broken(p), "vqvae": vqvae_of(p)}, "head.1.weight is not finite in half precision"),
        (lambda p: {"prior": p, "vqvae": vqvae_of(p, channels=2)}, "wanted a ConvVQVAE of images"),
        (lambda p: {"prior": p, "vqvae": ConvVQVAE(VectorQuantizerEMA(4, 13), axes=1)}, "wanted a ConvVQVAE of images"),
        (
            lambda p: {"prior": p, "vqvae": ConvVQVAE(VectorQuantizerEMA(4, 13), axes=2, strides=[(2, 4)])},
            r"shortens height and width by \(2, 4\)",
        ),
        (
            lambda p: {"prior": p, "vqvae": MLPVQVAE(20, 4, 5, VectorQuantizerEMA(4, 13, channel_last=True))},
            "vqvae is of type MLPVQVAE",
        ),
    ),
)
def test_refuses_models_that_it_cannot_show(models, words):
    with pytest.raises(ValueError, match=words):
        Sampler(**models(prior_of("odd sizes")))


def test_your_own_models_are_left_as_they_were():
    prior = prior_of("odd sizes")
    vqvae = vqvae_of(prior)
    before = {name: value.clone() for name, value in (vqvae.state_dict() | prior.state_dict()).items()}
    sampler = Sampler(vqvae=vqvae, prior=prior)
    sampler.still()
    assert prior.training and vqvae.training and next(prior.parameters()).requires_grad
    assert all(value.equal(before[name]) for name, value in (vqvae.state_dict() | prior.state_dict()).items())
    assert sampler.stored == ("own_grid", "own_prior") and Sampler.stored == ("mnist_grid", "mnist_prior")


@pytest.mark.parametrize("name, settings", (("quick", {}), ("odd sizes", {"label": 1}), ("no classes", {})))
def test_still_picture(name, settings):
    png, alt = sampler_of(name, **settings).picture()
    assert png.startswith(b"\x89PNG") and "in place of" in alt
    assert png == sampler_of(name, **settings).picture()[0]


# ----------------------------------------------------------------------------------------------------------------------
# The widget


def page_of(*samplers: Sampler) -> str:
    return widgets.page(*samplers, weights=samplers[0].weights)


class Hand:
    """What a visitor does with the first sampler of a page, or another."""

    def __init__(self, page, index: int = 0):
        self.page, self.root = page, page.locator(".vq-sampler").nth(index)
        self.root.wait_for()
        self.options = self.root.get_by_role("option")

    def press(self, name: str) -> None:
        self.root.get_by_role("button", name=name, exact=True).click()
        self.settled()

    def settled(self) -> None:
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def __getattr__(self, name: str):
        value = self.root.get_attribute(f"data-{name}")
        return value if name == "label" else json.loads(value) if value else value

    def until(self, condition: str) -> None:
        self.page.wait_for_function(f"(root) => {condition}", arg=self.root.element_handle())

    @property
    def drawn(self) -> list[int]:
        return [code for row in self.codes for code in row if code >= 0]

    @property
    def bars(self) -> list[str]:
        return [self.options.nth(i).get_attribute("aria-label") for i in range(13)]

    @property
    def said(self) -> str:
        return self.root.locator(".vq-said").inner_text()

    def set(self, name: str, value) -> None:
        self.root.get_by_label(name).fill(str(value))
        self.settled()


@pytest.fixture(scope="module")
def sampler():
    return sampler_of("quick")


@pytest.fixture(scope="module")
def document(sampler):
    return page_of(sampler)


def test_steps_and_their_figures(visit, document, sampler):
    with visit(document) as page:
        hand = Hand(page)
        assert (hand.place, hand.bits, hand.label, hand.samples) == (0, 0, "any", 0)
        for place in range(1, 4):
            expected = hand.entropy
            hand.press("Step")
            assert hand.place == place and len(hand.drawn) == place and 0 < expected < 6
        codes = torch.tensor(hand.drawn)
        logits = sampler._prior.float()(torch.nn.functional.pad(codes, (0, 46)).reshape(1, 7, 7))[0].flatten(1)
        wanted = priors.bits_per_code(logits[None, :, :3], codes[None]).item() * 3
        assert hand.bits == pytest.approx(wanted, rel=1e-3)
        chances = logits[:, 3].softmax(0)
        best = int(chances.argmax())
        assert hand.bars[0].startswith(f"code {best}: ") and "Place 4 of 49" in hand.root.inner_text()
        assert hand.entropy == pytest.approx(
            torch.distributions.Categorical(chances).entropy().item() / math.log(2), abs=1e-3
        )


def test_plays_to_the_end_pauses_and_keeps_the_sample(visit, document):
    with visit(document) as page:
        hand = Hand(page)
        hand.set("codes a second", 2)
        hand.press("Play")
        hand.until("root.dataset.place > 1")
        hand.press("Pause")
        stopped = hand.place
        page.wait_for_timeout(1200)
        assert hand.place == stopped < 49
        hand.set("codes a second", 60)
        hand.press("Play")
        hand.until("root.dataset.place === '49'")
        hand.until("root.dataset.playing === 'false'")
        assert hand.samples == 1 and "in place of 294" in hand.said
        assert hand.root.get_by_role("button", name="Step").is_disabled()
        whole = hand.drawn
        hand.press("New")
        hand.set("seed of the random numbers", 21)  # the same seed, the same grid
        page.keyboard.press("Enter")
        hand.press("Finish now")
        assert hand.drawn == whole and hand.samples == 1


def test_with_less_motion_it_plays_row_by_row(visit, document):
    with visit(document, reduced_motion="reduce") as page:
        hand = Hand(page)
        hand.press("Play")
        hand.until("root.dataset.place > 0")
        assert hand.place % 7 == 0


def test_temperature_changes_the_bars_at_once(visit, document):
    with visit(document) as page:
        hand = Hand(page)
        warm, entropy = hand.bars, hand.entropy
        hand.set("temperature", 0.5)
        assert hand.temperature == 0.5 and hand.entropy < entropy and hand.bars != warm
        assert [bar.split(":")[0] for bar in hand.bars] == [bar.split(":")[0] for bar in warm]
        hand.set("temperature", 0)
        assert hand.entropy == 0 and "100 %" in hand.bars[0]
        hand.press("Finish now")
        cold = hand.drawn
        hand.press("New")
        hand.press("Finish now")
        assert hand.drawn == cold and hand.seed == 22


def test_one_chooses_and_takes_back(visit, document):
    with visit(document) as page:
        hand = Hand(page)
        third = hand.bars[2]
        hand.options.nth(2).click()
        hand.settled()
        assert third.startswith(f"code {hand.drawn[0]}:") and hand.place == 1 and "was chosen" in hand.said
        shown = hand.bars[:12]
        hand.options.nth(12).click()  # the others get bars of their own
        hand.settled()
        assert hand.options.count() == 65 and hand.bars[:12] == shown
        codes = [hand.options.nth(i).get_attribute("aria-label").split(":")[0] for i in range(64)]
        assert sorted(codes) == sorted(f"code {code}" for code in range(64))
        hand.options.nth(63).click()
        hand.settled()
        assert hand.place == 2 and codes[63] == f"code {hand.drawn[1]}"
        hand.options.nth(64).click()
        hand.settled()
        assert hand.options.count() == 13
        hand.press("Back")
        hand.press("Back")
        assert hand.place == 0 and hand.root.get_by_role("button", name="Back").is_disabled()


def test_goes_back_to_a_place_and_chooses_anew(visit, document):
    with visit(document) as page:
        hand = Hand(page)
        hand.press("Finish now")
        whole = hand.drawn
        hand.root.get_by_role("gridcell").nth(10).click()
        hand.settled()
        assert hand.drawn == whole[:10]
        hand.press("Back")  # takes the going back back
        assert hand.drawn == whole and hand.seed == 21
        hand.root.get_by_role("gridcell").nth(10).click()
        hand.press("Finish now")
        assert hand.drawn[:10] == whole[:10] and hand.drawn != whole, "another turn, not the same again"


def test_goes_on_in_six_ways_from_where_it_stands(visit, document):
    with visit(document) as page:
        hand = Hand(page)
        hand.root.get_by_role("gridcell").nth(21).click()  # a place ahead: all before it are drawn
        hand.settled()
        begun = hand.drawn
        assert len(begun) == 21 and "Drawn up to row 4, column 1" in hand.said
        hand.press("Six ways from here")
        hand.until("root.dataset.samples === '6'")
        assert hand.drawn == begun
        found = []
        for i in range(6):
            hand.root.locator(".vq-bunch button").nth(i).click()
            hand.settled()
            found.append(tuple(hand.drawn))
        assert len(set(found)) == 6 and all(list(one[:21]) == begun for one in found)
        assert hand.root.get_by_role("button", name="Six ways from here").is_disabled()


def test_ten_that_are_the_same_are_ten(visit, document):
    with visit(document) as page:
        hand = Hand(page)
        hand.set("temperature", 0)
        hand.press("Draw ten")
        hand.until("root.dataset.samples === '10'")
        codes = {
            tuple(json.loads(key)["codes"][0])
            for key in hand.root.locator(".vq-bunch button").evaluate_all(
                "(nodes) => nodes.map((node) => node.dataset.key)"
            )
        }
        assert len(codes) == 1


def test_another_seed_can_be_taken_back(visit, document):
    with visit(document) as page:
        hand = Hand(page)
        hand.press("Finish now")
        whole = hand.drawn
        hand.set("seed of the random numbers", 3)
        page.keyboard.press("Enter")
        hand.settled()
        assert hand.drawn == [] and hand.seed == 3
        hand.press("Back")
        assert hand.drawn == whole and hand.seed == 21


def test_samples_stand_in_rows_of_ten_by_temperature(visit, document):
    with visit(document) as page:
        hand = Hand(page)
        rows = hand.root.locator(".vq-bunch")
        hand.press("Draw ten")
        hand.until("root.dataset.samples === '10'")
        hand.root.get_by_role("slider", name="temperature").fill("0.7")
        hand.press("One of each digit")
        hand.until("root.dataset.samples === '20'")
        assert [row.split("\n")[0] for row in rows.all_inner_texts()] == ["T = 0.7", "T = 1"], "the newest above"
        boxes = [rows.nth(0).locator("button").nth(i).bounding_box() for i in range(10)]
        assert len({box["y"] for box in boxes}) == 1 and len({box["x"] for box in boxes}) == 10
        hand.press("Finish now")  # a single one begins a row, and others of its temperature follow there
        hand.press("New")
        hand.press("Finish now")
        assert [row.count("bits") for row in rows.all_inner_texts()] == [2, 10, 10]


def test_the_belief_says_no_more_than_it_knows(visit, document):
    with visit(document) as page:
        hand = Hand(page)
        belief = hand.root.locator(".vq-belief")
        widths = "(node) => [...node.querySelectorAll('.vq-labels i')].map((bar) => bar.offsetWidth)"
        hand.until("root.dataset.belief")
        assert "Nothing is drawn yet" in belief.inner_text() and not any(hand.root.evaluate(widths))
        hand.press("Finish now")
        hand.until("root.dataset.belief")
        assert "if it is a digit at all" in belief.inner_text() and any(hand.root.evaluate(widths))


@pytest.mark.parametrize("width", (1280, 390))
def test_nothing_moves_while_it_draws(visit, document, width):
    places = "(root) => [...root.querySelectorAll('.vq-picture, .vq-bars, .vq-controls, .vq-said, .vq-lower')]"
    with visit(document, width=width) as page:
        hand = Hand(page)
        measure = f"(root) => ({places})(root).map((node) => node.offsetTop)"
        before = hand.root.evaluate(measure)
        for temperature in (1, 0.7):
            hand.set("temperature", temperature)
            for _ in range(20):
                hand.press("Step")
                assert hand.root.evaluate(measure) == before, hand.root.inner_text()
        hand.press("Finish now")
        hand.press("bits")
        assert hand.root.evaluate(measure) == before


def test_captions_fit_the_panels(visit):
    with visit(page_of(sampler_of("quick", panels=("drawing",)))) as page:
        hand = Hand(page)
        for _ in range(8):
            assert "bar" not in hand.said
            hand.press("Step")
        hand.root.get_by_role("radio", name="5").check(force=True)
        assert "bar" not in hand.said


def test_bits_are_marked_as_those_at_temperature_1(visit, document):
    with visit(document) as page:
        hand = Hand(page)
        cost = hand.bars[0].split("costs")[1]
        hand.set("temperature", 0)
        assert "bits, T = 1" in hand.root.locator(".vq-heads").inner_text()
        assert hand.bars[0].endswith(f"100 %, costs{cost}") and ": 0 %" in hand.bars[1]


def test_a_label_changes_what_comes_and_what_it_costs(visit, document, sampler):
    with visit(document) as page:
        hand = Hand(page)
        for _ in range(5):
            hand.press("Step")
        bits, bars = hand.bits, hand.bars
        hand.root.get_by_role("radio", name="7").check(force=True)
        hand.settled()
        assert hand.label == "7" and hand.bits != bits and hand.bars != bars
        assert "As 7 these codes cost" in hand.said
        hand.until("root.dataset.belief")
        codes = torch.nn.functional.pad(torch.tensor(hand.drawn), (0, 44)).reshape(1, 7, 7).expand(10, -1, -1)
        costs = torch.nn.functional.cross_entropy(
            sampler._prior(codes, torch.arange(10)).flatten(2)[..., :5], codes.flatten(1)[:, :5], reduction="none"
        )
        assert hand.belief == pytest.approx((-costs.sum(1)).softmax(0).tolist(), abs=2e-3)


def test_draws_several_and_looks_again(visit, document):
    with visit(document) as page:
        hand = Hand(page)
        hand.press("One of each digit")
        hand.until("root.dataset.samples === '10'")
        strip = hand.root.locator(".vq-strip button")
        assert [strip.nth(i).inner_text().split()[0] for i in range(10)] == [str(digit) for digit in range(10)]
        strip.nth(4).click()
        hand.settled()
        assert hand.place == 49 and hand.label == "4" and hand.seed == 26
        hand.press("New")
        hand.set("seed of the random numbers", 26)
        page.keyboard.press("Enter")
        hand.press("Finish now")
        assert hand.samples == 10, "a seed and a label give the same grid"
        hand.press("Clear")
        assert hand.samples == 0


def stroke(page, box, touch: bool) -> None:
    """A stroke down the middle of a box, with mouse or finger."""
    points = [
        (box["x"] + box["width"] * (0.4 + 0.02 * i), box["y"] + box["height"] * (0.2 + 0.05 * i)) for i in range(10)
    ]
    if not touch:
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points:
            page.mouse.move(*point)
        return page.mouse.up()
    finger = page.context.new_cdp_session(page)
    for kind, at in (("touchStart", points[:1]), *(("touchMove", [point]) for point in points[1:]), ("touchEnd", [])):
        touches = [{"x": x, "y": y} for x, y in at]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})


@pytest.mark.parametrize("width, touch", ((1280, False), (390, True)), ids=("mouse", "finger"))
def test_completes_what_one_begins(visit, document, sampler, width, touch):
    with visit(document, width=width) as page:
        hand = Hand(page)
        hand.set("Keep", 3)
        pad = hand.root.get_by_role("application")
        pad.scroll_into_view_if_needed()
        before, box = page.evaluate("scrollY"), pad.bounding_box()
        stroke(page, box, touch)
        hand.until("root.dataset.given === '21'")
        assert page.evaluate("scrollY") == before and pad.bounding_box() == box, "the pad must not move under the pen"
        begun = hand.drawn
        assert len(begun) == 21 == hand.place
        hand.press("Complete it six ways")
        hand.until("root.dataset.samples === '6'")
        hand.press("Finish now")
        assert hand.drawn[:21] == begun
        hand.press("New")
        assert hand.drawn == begun
        hand.set("Keep", 1)
        assert hand.given == 7 and hand.drawn == begun[:7]
        hand.press("Clear the pad")
        assert hand.given == 0 and hand.drawn == []


def test_the_keyboard_can_do_it_all(visit, document):
    with visit(document) as page:
        hand = Hand(page)
        page.keyboard.press("Tab")  # the labels: arrows choose
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        hand.settled()
        assert hand.label == "1"
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowLeft")
        hand.settled()
        assert hand.temperature == 0.95
        hand.options.nth(0).focus()
        page.keyboard.press("ArrowDown")
        second = hand.bars[1]
        page.keyboard.press("Enter")
        hand.settled()
        assert second.startswith(f"code {hand.drawn[0]}:")
        assert hand.options.nth(0).evaluate("(node) => node === document.activeElement")
        for _ in range(8):
            page.keyboard.press("Enter")
        hand.settled()
        assert hand.place == 9
        cells = hand.root.get_by_role("gridcell")
        cells.nth(0).focus()
        page.keyboard.press("ArrowDown")
        assert cells.nth(7).evaluate("(node) => node === document.activeElement")
        assert cells.nth(7).get_attribute("aria-label").startswith("row 2, column 1: code ")
        page.keyboard.press("Enter")
        hand.settled()
        assert hand.place == 7
        hand.root.get_by_role("application").focus()
        for key in (" ", "ArrowUp", "ArrowUp", " ", "Enter"):
            page.keyboard.press(key)
        hand.until("root.dataset.given === '28'")


@pytest.mark.parametrize("dark", (False, True), ids=("light", "dark"))
@pytest.mark.parametrize("width", (1280, 390))
def test_accessible_and_within_the_window(visit, document, width, dark):
    with visit(document, width=width, dark=dark) as page:
        hand = Hand(page)
        for state in ("empty", "begun", "full"):
            if state == "begun":
                hand.options.nth(1).click()
                hand.press("codes")
            if state == "full":
                hand.press("Finish now")
                hand.press("bits")
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
            assert page.evaluate("document.documentElement.scrollWidth") == width


def test_two_on_a_page_do_not_disturb_each_other(visit, sampler):
    with visit(page_of(sampler, sampler_of("quick", label=3, panels=("bars",)))) as page:
        one = Hand(page)
        page.locator(".vq-host").nth(1).scroll_into_view_if_needed()
        other = Hand(page, 1)
        assert (one.label, other.label) == ("any", "3")
        other.press("Step")
        one.root.get_by_role("radio", name="5").check(force=True)
        one.settled()
        assert (one.place, other.place) == (0, 1) and (one.label, other.label) == ("5", "3")
        assert other.root.get_by_role("radio", name="3").is_checked()
        assert (
            other.root.get_by_role("application").count() == 0
            and other.root.get_by_role("button", name="Draw ten").count() == 0
        )


def test_grids_of_other_shapes_and_colours(visit):
    prior = prior_of("odd sizes")
    sampler = Sampler(
        vqvae=vqvae_of(prior, channels=3), prior=prior, known=torch.tensor([[2, 5, -1, -1, -1], [-1] * 5, [-1] * 5])
    )
    with visit(page_of(sampler)) as page:
        hand = Hand(page)
        assert hand.drawn == [2, 5] and hand.given == 2
        assert hand.root.get_by_role("application").count() == 0  # a drawing is no photograph
        hand.press("Finish now")
        assert hand.place == 15 and hand.drawn[:2] == [2, 5] and hand.samples == 1
    with visit(page_of(sampler_of("no classes"))) as page:
        hand = Hand(page)
        assert hand.root.get_by_role("radio").count() == 0
        hand.press("Finish now")
        assert hand.place == 4


def test_without_its_weights_the_still_picture_stays(visit, sampler):
    with visit(widgets.page(sampler)) as page:
        assert page.locator(".vq-sampler").count() == 0
        assert "49" not in page.title() and "in place of 294" in page.locator("img").get_attribute("alt")


@pytest.mark.skipif(
    not (weights.FOLDER / "mnist_prior.safetensors").exists(), reason="the stored prior is being trained"
)
def test_the_stored_prior_writes_digits(visit):
    """A whole sample for each digit, and the prior itself reads them as asked."""
    sampler = Sampler(temperature=0.8)
    with visit(widgets.page(sampler, weights={name: weights.read(name) for name in sampler.stored})) as page:
        hand = Hand(page)
        hand.press("One of each digit")
        hand.until("root.dataset.samples === '10'")
        right = 0
        for digit in range(10):
            hand.root.locator(".vq-strip button").nth(digit).click()
            page.wait_for_timeout(300)  # the sample looked at before is forgotten
            hand.until("root.dataset.place === '49' && root.dataset.belief")
            if max(hand.belief) > 0.99:
                assert "(>\xa099\xa0%)" in hand.root.locator(".vq-belief").inner_text()
            right += int(np.argmax(hand.belief)) == digit and hand.bits < 200
        assert right >= 8
