"""The stored models: whole, as good as their papers say, and in words where they are not there or broken."""

import json
import shutil

import pytest
import safetensors.torch
import torch

from course_lib import data, priors, weights
from course_lib.weights import train

NAMES = list(weights.MODELS)
each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the stored files, to be spoilt."""
    shutil.copytree(weights.FOLDER, tmp_path / "weights")
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "weights")
    return tmp_path / "weights"


def mnist():
    loaded = data.load("mnist")
    if loaded.source == "sample":
        pytest.skip("needs the real MNIST")
    return loaded


@each
def test_a_stored_model_is_in_eval_mode_and_learns_nothing(name):
    model = weights.load(name)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    stored = safetensors.torch.load(weights.read(name))
    assert all(value.dtype == torch.float16 for value in stored.values())
    for key, value in stored.items():
        assert torch.equal(model.state_dict()[key], value.float()), key


@each
def test_its_papers_say_where_it_comes_from(name):
    papers = weights.provenance(name)
    assert papers["command"] == f"python -m course_lib.weights.train {name}"
    for key in ("seed", "data", "updates", "seconds", "machine", "date", "on the test set"):
        assert key in papers
    assert "/" not in papers["machine"]
    assert all(licence for licence in papers["data"].values())


def test_all_together_are_small():
    assert sum(path.stat().st_size for path in weights.FOLDER.iterdir()) < 6_000_000


def test_grids_have_the_promised_shapes():
    image = torch.zeros(2, 1, 28, 28)
    grid, prior, photos = map(weights.load, ("mnist_grid", "mnist_prior", "cifar10"))
    codes = grid.encode(image)
    assert codes.shape == (2, *prior.grid) and prior.codebook_size == len(grid.quantizer.codebook)
    assert grid.decode(codes).shape == image.shape
    assert photos.encode(torch.zeros(1, 3, 32, 32)).shape == (1, 8, 8)


@pytest.mark.slow
def test_the_grid_is_as_good_as_its_papers_say():
    images, model = mnist().test[:2000], weights.load("mnist_grid")
    rebuilt = model.decode(train.encode(model, images))[:, 0] + 0.5
    true = images.float() / 255
    nmse = ((rebuilt - true) ** 2).mean() / (mnist().train.float() / 255).var()
    assert nmse == pytest.approx(weights.provenance("mnist_grid")["on the test set"]["nmse"], rel=0.05)


@pytest.mark.slow
def test_the_photographs_are_as_good_as_their_papers_say():
    cifar = data.load("cifar10")
    if cifar.source == "sample":
        pytest.skip("needs the real CIFAR-10")
    images = cifar.test[:1000].movedim(-1, 1).float() / 255 - 0.5
    model = weights.load("cifar10")
    nmse = ((model.decode(model.encode(images)) - images) ** 2).mean() / (cifar.train.float() / 255).var()
    assert nmse == pytest.approx(weights.provenance("cifar10")["on the test set"]["nmse"], rel=0.05)


@pytest.mark.slow
def test_the_prior_draws_the_digit_that_was_asked_for():
    grid, prior, digits = weights.load("mnist_grid"), weights.load("mnist_prior"), mnist()
    wanted = torch.arange(10).repeat(30)  # (300,)
    drawn = priors.sample(prior, 300, labels=wanted, temperature=0.8, generator=torch.Generator().manual_seed(5))
    pictures = grid.decode(drawn)[:, 0] + 0.5  # (300, 28, 28)
    references = digits.train[:10_000].flatten(1).double() / 255
    nearest = ((pictures.flatten(1).double()[:, None] - references[None, :1]) ** 2).sum(-1)  # (300, 1), then the others
    for block in references[1:].split(500):
        nearest = torch.cat([nearest, torch.cdist(pictures.flatten(1).double(), block) ** 2], 1)
    share = (digits.train_labels[nearest.argmin(1)] == wanted).double().mean().item()
    stated = weights.provenance("mnist_prior")["on the test set"]["samples at T = 0.8 read as asked"]
    assert abs(share - stated) < 4 * (stated * (1 - stated) / 300) ** 0.5 + 0.02  # four standard errors of 300 draws


def test_a_name_that_is_not_there_is_told_the_names():
    with pytest.raises(ValueError, match="there are no weights 'mnist'; the names are mnist_grid, mnist_prior"):
        weights.load("mnist")


def test_a_file_that_is_not_there_says_how_to_bring_it_back(folder):
    (folder / "cifar10.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"cifar10.safetensors cannot be read .*git checkout"):
        weights.load("cifar10")


def spoil(path, change):
    stored = safetensors.torch.load(path.read_bytes())
    change(stored)
    path.write_bytes(safetensors.torch.save(stored))


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda stored: stored.pop("quantizer.codebook"), "missing .*quantizer.codebook"),
        (lambda stored: stored.update(more=torch.zeros(1)), "unexpected .*more"),
        (lambda stored: stored["decoder.0.weight"].fill_(torch.nan), "decoder.0.weight is not finite"),
        (lambda stored: stored.update({"decoder.0.bias": torch.zeros(3)}), "of another version"),
    ],
)
def test_a_file_of_another_model_is_refused_in_words(folder, change, words):
    spoil(folder / "mnist_grid.safetensors", change)
    with pytest.raises(ValueError, match=words):
        weights.load("mnist_grid")


@pytest.mark.parametrize("cut", [0, 5, 1000, -1])
def test_half_a_file_is_refused_in_words(folder, cut):
    path = folder / "mnist_grid.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="is broken.*git checkout"):
        weights.load("mnist_grid")


def test_training_writes_a_model_and_its_papers(folder, tmp_path, monkeypatch):
    """Two updates on a few images: what is written can be loaded, and says what was done."""
    train_images, train_labels, test_images, test_labels = data.samples.mnist()
    few = data.Dataset(train_images[:64], train_labels[:64], test_images[:20], test_labels[:20], "mnist", "local")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", lambda name, root=None: few)
    monkeypatch.setattr(train, "UPDATES", dict.fromkeys(train.UPDATES, 2))
    run = train.Run("mnist_grid", None)
    run.write(train.mnist_grid(run))
    papers = json.loads((folder / "mnist_grid.json").read_text())
    assert papers["updates"] == 2 and papers["on the test set"].keys() == {"nmse", "usage", "perplexity"}
    model = weights.load("mnist_grid")
    for key, value in run.result.state_dict().items():
        if key.rpartition(".")[2] not in ("cluster_size", "embed_sum", "initialised"):
            assert torch.equal(model.state_dict()[key], value.cpu()), key


def test_nothing_is_trained_on_the_sample(monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, root=None: data.Dataset(*data.samples.mnist(), name, "sample"))
    with pytest.raises(SystemExit, match="real mnist"):
        train.Run("mnist_grid", None).data("mnist")
