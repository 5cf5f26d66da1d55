"""The plane: its arithmetic against course_lib, autograd and the library, its Python half, its front end in a browser."""

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
