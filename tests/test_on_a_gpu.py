"""The device paths of the course, on a GPU that is not there: what comes out is what comes out on the CPU.

And each place where the code cares for a device is needed: without it, something is left where CUDA refuses it.
"""

import ast
import dataclasses
import inspect
import itertools
import json
import sys
from contextlib import nullcontext
from pathlib import Path

import fake_cuda
import matplotlib.pyplot as plt
import nbformat
import PIL.Image
import pytest
import torch

from course_lib import data, models, priors, quantize, recipes, search, training
from course_lib.lesson import plots

pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def of_quantize(device, folder):
    """Both layers under autocast, forward and backward; k-means at the start, restarts; the functions by themselves."""
    found = []
    for layer in (
        quantize.VectorQuantizer(4, 8),
        quantize.VectorQuantizerEMA(4, 8, kmeans_init=True, dead_code_threshold=1.5),
    ):
        layer = layer.to(device)
        latents = drawn(2, 4, 30, 30).to(device).requires_grad_()
        with torch.autocast(device, dtype=torch.bfloat16):
            quantized, codes, loss = layer(latents)
        (loss + quantized.sum()).backward()
        found += [quantized, codes, loss, latents.grad, *layer.state_dict().values()]
    flat, codebook = drawn(50, 4).to(device), drawn(8, 4, seed=1).to(device)
    found.append(quantize.nearest_codes(flat + 1000, codebook + 1000))  # far out, where distances are measured twice
    codes = quantize.nearest_codes(flat, codebook)
    averages = quantize.ema_update(codebook[:, 0].abs(), codebook, flat, codes, 0.9)
    generator = torch.Generator(device).manual_seed(0)
    found += quantize.kmeans_init(flat, 70, 2, generator)
    found += quantize.restart_dead_codes(codebook, averages[0], averages[1], flat, 2.0, generator)
    found += [codes, *averages, quantize.look_up(codes, codebook), quantize.pairwise_distances(flat, codebook)]
    return [*found, quantize.perplexity(codes, 8), quantize.codebook_usage(codes, 8)]


def of_training(device, folder):
    """A run that is broken off and taken up again, with dropout, mixed precision, and data that stayed on the CPU."""

    def run(updates, path):
        torch.manual_seed(0)
        layer = quantize.VectorQuantizerEMA(3, 8, kmeans_init=True)
        model = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.Dropout(0.2), layer).to(device)

        def step(model, batch):
            quantized, codes, loss = model(batch)
            return {"loss": loss + quantized.square().mean(), "usage": quantize.codebook_usage(codes, 8), "one": 1.0}

        rows = drawn(20, 5).to(device)
        history = training.fit(
            model, rows, step, updates=updates, batch_size=8, autocast=torch.float16, checkpoint=path,
            checkpoint_every=2, progress=False,
        )  # fmt: skip
        return [*model.state_dict().values(), *map(torch.tensor, history.values())]

    whole = run(5, folder / "whole.pt")
    run(2, folder / "broken.pt")
    before = fake_cuda.calls["set_rng_state"]
    assert all(map(torch.equal, whole, run(5, folder / "broken.pt")))
    assert fake_cuda.calls["set_rng_state"] - before == (device == "cuda")
    return whole


def of_recipes(device, folder):
    """The program, as the command line runs it."""
    pictures = (drawn(24, 32, 32, 3) * 40 + 128).clamp(0, 255).to(torch.uint8)
    labels = torch.zeros(24, dtype=torch.int64)
    set_ = data.Dataset(pictures[:16], labels[:16], pictures[16:], labels[16:], "cifar10", "local")
    assert device == "cpu" or recipes.fastest_autocast(device, 2) in (None, torch.bfloat16)
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "fastest_autocast", lambda *_: None)  # which one it is, is left to chance
        patch.setattr(data, "load", lambda name, root=None: set_)
        patch.setattr(sys, "argv", "recipes --updates 2 --batch-size 4 --evaluate-every 1".split())
        patch.setattr(recipes, "print", said.append, raising=False)
        recipes.main()
    figures = json.loads(said[0])
    assert figures["device"] == device
    return [torch.tensor(figures["nmse"]).round(decimals=2)]  # codes so early are close enough for rounding to decide


def of_priors(device, folder):
    """Both networks, learning and drawing: with labels and without, with part of the grid given, kept or computed."""
    found = []
    for kind in (priors.PixelCNN, priors.CodeTransformer):
        torch.manual_seed(0)
        prior = kind(6, (3, 3), classes=2, channels=8, layers=1).to(device)
        codes, labels = torch.arange(18).reshape(2, 3, 3).to(device) % 6, torch.tensor([0, 1]).to(device)
        bits = priors.bits_per_code(prior(codes, labels), codes)
        bits.backward()
        generator = torch.Generator(device).manual_seed(0)
        known = torch.full((2, 3, 3), 2).index_fill(2, torch.tensor([1]), -1)  # not on the device, as the caller may
        found += [bits, *(parameter.grad for parameter in prior.parameters() if parameter.grad is not None)]
        found += [
            priors.sample(prior, 2, labels=labels, generator=generator),
            priors.sample(prior, 2, known=known, cached=False, temperature=0.5, generator=generator),
        ]
    return found


def of_models(device, folder):
    found = []
    for model, x in (
        (models.MLPVQVAE(12, 4, 3, quantize.VectorQuantizer(4, 8, channel_last=True)), drawn(2, 12)),
        (models.ConvVQVAE(quantize.VectorQuantizerEMA(4, 8), axes=1, in_channels=1, strides=(4, 2)), drawn(2, 1, 64)),
        (models.ResNetVQVAE(quantize.VectorQuantizerEMA(4, 8), hidden_channels=8), drawn(2, 3, 16, 16)),
    ):
        torch.manual_seed(0)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        model.quantizer.codebook.data.copy_(drawn(8, 4))
        model, x = model.to(device), x.to(device)
        out, codes, loss = model.eval()(x)
        found += [out, codes, loss, model.decode(model.encode(x))]
    return found


SCENES = {
    quantize: of_quantize, search: of_quantize, training: of_training, recipes: of_recipes, priors: of_priors,
    models: of_models,
}  # fmt: skip


def played(scene, device, folder):
    """What the scene gives, all of it on its device."""
    folder = folder / device
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    with fake_cuda.a_gpu() if device == "cuda" else nullcontext():
        return [tensor.detach().cpu() for tensor in scene(device, folder)]


@pytest.mark.parametrize("scene", dict.fromkeys(SCENES.values()))
def test_on_a_gpu_it_gives_what_it_gives_on_the_cpu(scene, tmp_path):
    for here, there in zip(played(scene, "cpu", tmp_path), played(scene, "cuda", tmp_path), strict=True):
        torch.testing.assert_close(there, here, rtol=1e-5, atol=1e-6)


# ----------------------------------------------------------------------------------------------------------------------
# Is each place needed?

# Without these all goes well, on CUDA too.
NOT_NEEDED = {
    "data[rows.to(data.device)] without .to": "an index may come from the CPU; it only costs a wait",
    "flat.device.type is cpu": "how many rows are taken at once is a question of speed",
    "scores.device.type is cpu": "both ways to the lowest give the same",
    "device=lows.device) without its device": "of these two ways that of the CPU alone",
    "line 61: device.type is cpu": "the scaler goes by the losses that it is given",
    "torch.tensor(float(autocast is not None), device=device) without": "it matters to several ranks alone, under NCCL",
    "latents.device.type is cpu": "what is done there now is nothing that autocast changes",
}


class Careless(ast.NodeTransformer):
    """Forgets a device at one place, the one with this number."""

    def __init__(self, place: int):
        self.place, self.seen, self.found = place, -1, None

    def visit(self, node):
        node = self.generic_visit(node)
        careless, what = self.without(node)
        if what:
            self.seen += 1
            if self.seen == self.place:
                self.found = f"line {node.lineno}: {ast.unparse(node)} {what}"
                return ast.copy_location(careless, node)
        return node

    def without(self, node):
        match node:
            case ast.Attribute(attr="type", value=ast.Name("device") | ast.Attribute(attr="device")):
                return ast.Constant("cpu"), "is cpu"
            case ast.Call(func=ast.Attribute(value=value, attr="cpu"), args=[]):
                return value, "without .cpu"
            case ast.Call(func=ast.Attribute(value=value, attr="to"), args=[first, *others]) if "device" in ast.unparse(
                first
            ):
                if not others and not node.keywords:
                    return value, "without .to"
                return ast.Call(node.func, others, node.keywords), "without its device"
            case ast.Call(func=ast.Attribute(attr="new_zeros" | "new_empty" as name), args=sizes, keywords=keywords):
                return ast.Call(ast.parse(f"torch.{name[4:]}").body[0].value, sizes, keywords), "on the CPU"
            case ast.Call(keywords=keywords) if any("device" in ast.unparse(keyword.value) for keyword in keywords):
                kept = [keyword for keyword in keywords if "device" not in ast.unparse(keyword.value)]
                return ast.Call(node.func, node.args, kept), "without its device"
        return node, ""


@pytest.mark.slow
@pytest.mark.parametrize("module", SCENES, ids=lambda module: module.__name__)
def test_each_place_that_names_a_device_is_needed(module, tmp_path):
    """A variant that forgets one of them fails, or gives something else than the CPU."""
    wanted, kept, unharmed = played(SCENES[module], "cpu", tmp_path), dict(vars(module)), []
    for place in itertools.count():
        careless = Careless(place)
        tree = ast.fix_missing_locations(careless.visit(ast.parse(inspect.getsource(module))))
        if careless.found is None:
            break
        try:
            exec(compile(tree, module.__file__, "exec"), vars(module))
            found = played(SCENES[module], "cuda", tmp_path)
            for there, here in zip(found, wanted, strict=True):
                torch.testing.assert_close(there, here, rtol=1e-5, atol=1e-6)
            unharmed.append(careless.found)
        except (RuntimeError, TypeError, ValueError, AssertionError, KeyError, SystemExit):
            pass
        finally:
            vars(module).clear()
            vars(module).update(kept)
    print(f"{module.__name__}: {place} places")
    assert not [line for line in unharmed if not any(known in line for known in NOT_NEEDED)]


def test_a_rank_without_a_gpu_is_told_so(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with fake_cuda.a_gpu(), pytest.raises(ValueError, match="no GPU for rank 1: this machine has 1"):
        recipes._figures(None)


# ----------------------------------------------------------------------------------------------------------------------
# Lessons


class Lenient(ast.NodeTransformer):
    """Computes what is asserted, and asserts nothing: two updates learn too little."""

    def visit_Assert(self, node):
        return ast.copy_location(ast.Expr(node.test), node)


def short(fit=training.fit):
    def fitting(*args, updates, **options):
        history = fit(*args, updates=min(updates, 2), **options)
        return {name: (values * updates)[:updates] for name, values in history.items()}  # of the wanted length

    return fitting


def few(load, rows):
    def loading(*args, **options):
        whole = load(*args, **options)
        fields = {field.name: getattr(whole, field.name) for field in dataclasses.fields(whole)}
        return type(whole)(**{k: v[:rows] if isinstance(v, torch.Tensor) else v for k, v in fields.items()})

    return loading


LESSONS = [path for path in Path("notebooks").resolve().glob("*.ipynb") if "is_available" in path.read_text("utf-8")]


@pytest.mark.slow
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_that_looks_for_a_gpu_runs_on_one(lesson, tmp_path, monkeypatch, one_thread):
    """Each cell, with two updates for each training, few images, and figures that are not drawn."""
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")  # it keeps checkpoints beside itself
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    monkeypatch.setattr(recipes, "fastest_autocast", lambda *_: torch.bfloat16)  # it wants more than two updates
    monkeypatch.setattr(training, "fit", short())
    rows = 400 if lesson.stem.startswith("13") else 200
    monkeypatch.setattr(data, "load", few(data.load, rows))
    monkeypatch.setattr(plots, "_picture", lambda figure: (plt.close(figure), PIL.Image.new("RGB", (8, 8)))[1])
    names = {"__name__": "__main__"}
    with fake_cuda.a_gpu():
        for number, cell in enumerate(nbformat.read(lesson, as_version=4).cells):
            if cell.cell_type == "code":
                exec(compile(Lenient().visit(ast.parse(cell.source)), f"{lesson.name}, cell {number}", "exec"), names)
    assert names["device"] == "cuda" and sum(fake_cuda.calls.values()) > 1000
    torch.set_grad_enabled(True)  # lesson 11 switches it off
