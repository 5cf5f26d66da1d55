"""The benchmark in a tiny setting: what its numbers mean, and what becomes of RESULTS.md."""

import math
import re
from types import SimpleNamespace

import pytest
import torch

from benchmarks import layer, run, training
from benchmarks.report import NOT_MEASURED, in_fresh_process, ratio_row, verdict
from course_lib import data
from course_lib.quantize import nearest_codes


def figures(text: str) -> list[float]:
    """The numbers in the cells of all tables, first columns left out; a unit may follow."""
    cells = [cell for line in text.splitlines() if line.startswith("| ") for cell in line.strip("| ").split(" | ")[1:]]
    numbers = [re.fullmatch(r"(-?[\d,.]+|inf|nan)( ms| MiB)?", cell) for cell in cells]
    return [float(match[1].replace(",", "")) for match in numbers if match]


def test_aims_at_and_beside_the_bound():
    assert [verdict(value, at_least=10) for value in (10, 9.99)] == ["at least 10: reached", "at least 10: fell short"]
    assert [verdict(value, at_most=2) for value in (2, 2.01)] == ["at most 2: reached", "at most 2: fell short"]
    assert verdict(math.nan, at_most=1).endswith("fell short") and verdict(None, at_most=1).endswith(NOT_MEASURED)
    row = ratio_row(8192, "library", "ours", {"ours": 0.5, "library": 4.0}, "ms", at_least=10)
    assert row == [8192, "library / ours", "4.000 ms", "0.5000 ms", 8.0, "at least 10: fell short"]


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_slope_is_the_power_of_the_larger_half(power):
    sizes = [4**n for n in range(6)]
    times = [7.0] * 3 + [0.3 * size**power for size in sizes[3:]]  # the smaller half is flat, and is left out
    assert layer.slope(sizes, times) == pytest.approx(power)


@pytest.mark.parametrize("rows", [1, 1024, 2500])
def test_the_bare_product_gives_the_nearest_codes(rows):
    generator = torch.Generator().manual_seed(rows)
    flat, codebook = (torch.randn(n, 16, generator=generator) for n in (rows, 70))
    codes = layer.bare_product(flat, codebook, torch.empty(1024, 70), torch.full((rows,), -1))
    assert torch.equal(codes, nearest_codes(flat, codebook))


@pytest.mark.parametrize("side", ["ours", "library"])
def test_a_training_step_goes_forward_updates_and_goes_back(side):
    latents, gradient = layer.make_latents(50)
    quantizer, inputs = layer.make_layer(side, 16), []
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    layer.training_step(quantizer, latents, gradient)
    moved = [name for name, value in quantizer.state_dict().items() if not torch.equal(value, before[name])]
    assert any("cluster_size" in name for name in moved) and any("embed" in name for name in moved)
    # straight through: the fixed gradient, and the commitment loss's own
    assert 0 < (inputs[0].grad - gradient).abs().max() < 0.1


def test_the_layer_in_a_tiny_setting():
    text = "\n".join([layer.speed(repeats={8: 1, 512: 1}, rows=64), layer.linear((16, 32, 64), (4, 8, 16))])
    assert len(figures(text)) == 4 * 3 + 6 * 3 and all(0 < value < math.inf for value in figures(text))
    assert text.count("at most 2:") == 1 and text.count("larger half: ") == 2


@pytest.mark.slow
def test_peak_memory_counts_the_tensors_of_a_step():
    rows = 16_384
    peak = in_fresh_process(layer.peak_memory, "ours", 16, rows)
    if peak is None:
        pytest.skip("this system does not tell a process its peak memory")
    latents = rows * layer.DIM * 4 / 2**20  # MiB; their gradient and the quantised values are as large
    assert latents < peak < 20 * latents


def test_training_in_a_tiny_setting():
    images = torch.randint(256, (12, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    cifar = data.Dataset(images, torch.zeros(12), images[:4], torch.zeros(4), "cifar10", "sample")
    ladder = training.ladder(cifar, updates=1, batch_size=4)
    assert len(figures(ladder)) == 7 * 4 and all(0 < value < math.inf for value in figures(ladder))
    full = training.full(cifar, updates=2, batch_size=4, look_every=1)
    assert all(0 < value < math.inf for value in figures(full)) and "| 8 | 51,200,000 | 6,400,000 |" in full
    assert "not CIFAR-10" in full and "of CIFAR-10 only" in full and "| never |" in full


def test_results_are_of_one_whole_run(tmp_path, monkeypatch):
    assert all(callable(subject.report) for subject in run.SUBJECTS)
    results = tmp_path / "RESULTS.md"
    results.write_text("the run before")
    monkeypatch.setattr(run, "RESULTS", results)
    monkeypatch.setattr(run, "in_fresh_process", lambda function: function())

    def broken_off():
        raise KeyboardInterrupt

    subjects = [SimpleNamespace(__name__=name, report=lambda name=name: f"## {name}") for name in ("first", "second")]
    monkeypatch.setattr(run, "SUBJECTS", [subjects[0], SimpleNamespace(__name__="third", report=broken_off)])
    with pytest.raises(KeyboardInterrupt):
        run.main()
    assert results.read_text() == "the run before" and list(tmp_path.iterdir()) == [results]
    monkeypatch.setattr(run, "SUBJECTS", subjects)
    for gpu, end in ((True, ""), (False, "\n" + run.KEPT.read_text(encoding="utf-8"))):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        run.main()
        assert results.read_text(encoding="utf-8") == run.header() + "\n\n## first\n\n## second\n" + end
    assert list(tmp_path.iterdir()) == [results]


def test_figures_of_a_gpu_stand_where_there_is_none():
    """Until somebody runs `make bench` on a machine with one."""
    kept = run.KEPT.read_text(encoding="utf-8").strip()
    results = run.RESULTS.read_text(encoding="utf-8")
    assert results.endswith(kept + "\n") or "## Speed of the layer on one" in results
