import time

import pytest
import torch
import torch.nn.functional as F

from course_lib import recipes
from course_lib.quantize import VectorQuantizer, VectorQuantizerEMA
from course_lib.recipes import (
    LADDER,
    OURS,
    PUBLISHED,
    evaluate,
    fastest_autocast,
    normalized_mse,
    step,
    to_input,
    train,
)


def images(count, seed=0):
    return torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_input_is_in_minus_a_half_to_a_half_with_channels_first():
    batch = images(2)
    converted = to_input(batch)
    assert converted.shape == (2, 3, 32, 32) and converted.dtype == torch.float32
    for place in ((0, 0, 0, 0), (1, 31, 2, 1), (0, 7, 30, 2)):
        b, row, column, channel = place
        assert converted[b, channel, row, column] == pytest.approx(batch[place].item() / 255 - 0.5)


def test_normalized_mse_of_the_mean_image_is_1():
    batch = to_input(images(50))
    mean = batch.mean()
    assert normalized_mse(mean.expand_as(batch), batch, batch.var(unbiased=False).item()).item() == pytest.approx(1)
    assert normalized_mse(batch, batch) == 0
    assert normalized_mse(batch + 0.1, batch).item() == pytest.approx(0.01 / 0.063287, rel=1e-4)


def test_each_row_of_the_ladder_changes_what_it_names_and_keeps_the_network():
    rows = list(LADDER.values())
    assert rows[0] == PUBLISHED and rows[-1] == OURS and len(set(rows)) == len(rows)
    weights = []
    for recipe in rows:
        model = recipe.model(seed=3)
        assert type(model.quantizer) is (VectorQuantizerEMA if recipe.ema else VectorQuantizer)
        assert model.quantizer.commitment_weight == recipe.commitment_weight
        if recipe.ema:
            assert model.quantizer.decay == recipe.decay
            assert model.quantizer.dead_code_threshold == recipe.dead_code_threshold
            assert bool(model.quantizer.initialised) is not recipe.kmeans_init
        weights.append(torch.cat([p.flatten() for name, p in model.named_parameters() if "quantizer" not in name]))
    assert all(torch.equal(weights[0], other) for other in weights)


@pytest.mark.parametrize("updates, peak", [(1, 1), (2, 2), (5, 2), (39, 4), (100, 10), (1000, 100), (10_000, 500)])
def test_the_one_cycle_rises_to_the_peak_and_falls_to_almost_0(updates, peak):
    optimizer, scheduler = OURS.optimizer(torch.nn.Linear(1, 1), updates)
    rates = []
    for _ in range(updates):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert all(0 < rate <= OURS.learning_rate for rate in rates)
    assert abs(rates.index(max(rates)) + 1 - peak) <= 1
    if updates >= 39:
        assert max(rates) == pytest.approx(OURS.learning_rate, rel=1e-3) and rates[-1] < 1e-2 * max(rates)


def test_the_published_recipe_keeps_its_rate():
    optimizer, scheduler = PUBLISHED.optimizer(torch.nn.Linear(1, 1), updates=100)
    assert scheduler is None and optimizer.param_groups[0]["lr"] == 1e-4


def test_step_gives_the_loss_and_what_is_shown():
    model, batch = OURS.model(), images(8)
    values = step(model.eval(), batch)
    with torch.no_grad():
        reconstruction, codes, vq_loss = model(to_input(batch))
    nmse = F.mse_loss(reconstruction, to_input(batch)) / 0.063287
    assert values["loss"].item() == pytest.approx((nmse + vq_loss).item())
    assert values["nmse"].item() == pytest.approx(nmse.item())
    assert values["usage"].item() == pytest.approx(codes.unique().numel() / 512)
    assert 1 <= values["perplexity"].item() <= codes.unique().numel() + 1e-3


@pytest.mark.parametrize("batch_size", [3, 10, 100])
def test_evaluate_is_over_all_images_whatever_the_batches(batch_size):
    model, batch = OURS.model().train(), images(10)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = evaluate(model, batch, batch_size)
    assert model.training and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    codes = model.encode(to_input(batch))
    error = F.mse_loss(model.decode(codes), to_input(batch)).item()
    assert found["nmse"] == pytest.approx(error / 0.063287, rel=1e-4)
    assert found["usage"] == pytest.approx(codes.unique().numel() / 512)
    shares = torch.bincount(codes.flatten(), minlength=512) / codes.numel()
    assert found["perplexity"] == pytest.approx(
        torch.distributions.Categorical(shares).entropy().exp().item(), rel=1e-4
    )


def test_train_lowers_the_error_and_starts_codes_on_latents():
    data = images(64) // 8 + 100  # low contrast: soon learnt
    model = OURS.model()
    start = evaluate(model, data)["nmse"]
    history = train(OURS, model, data, updates=12, batch_size=16, progress=False)
    assert len(history["nmse"]) == 12 and {"loss", "perplexity", "usage"} < history.keys()
    assert evaluate(model, data)["nmse"] < 0.7 * start
    assert model.quantizer.initialised


def test_fastest_autocast_measures_here_and_gives_one_of_two():
    assert fastest_autocast("cpu") in (None, torch.bfloat16)


@pytest.mark.parametrize(("slower", "wanted"), [(None, torch.bfloat16), (torch.bfloat16, None)])
def test_fastest_autocast_goes_by_whole_updates(monkeypatch, slower, wanted):
    def delayed(model, batch):
        if torch.is_autocast_enabled("cpu") == (slower is not None):
            time.sleep(0.15)
        return step(model, batch)

    monkeypatch.setattr(recipes, "step", delayed)
    assert fastest_autocast("cpu", batch_size=1) == wanted
