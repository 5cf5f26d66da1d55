"""What benchmarks/run.py makes of given numbers, and small runs of its sections. No test looks at the clock."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from course_lib.quantize import nearest_codes

PROGRAM = Path(__file__).parent.parent / "benchmarks" / "run.py"
_spec = importlib.util.spec_from_file_location("benchmarks_run", PROGRAM)
bench = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bench)


def cells(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize(
    "value, shown",
    [(0.0531234, "0.05312"), (12.3456, "12.35"), (999.96, "1000"), (1234.5, "1,234"), (51_200_000, "51,200,000"),
     (512, "512"), (3.0, "3.000"), (None, "not measured"), ("-", "-")],
)  # fmt: skip
def test_numbers(value, shown):
    assert bench.number(value) == shown


def test_table():
    assert bench.table(["a", "b"], [["x", 2], [None, 0.5]]).splitlines() == [
        "| a | b |", "| --- | --- |", "| x | 2 |", "| not measured | 0.5000 |"
    ]  # fmt: skip


def test_verdicts_at_and_beside_the_bound():
    assert bench.verdict(10.0, at_least=10) == "at least 10: reached"
    assert bench.verdict(9.999, at_least=10) == "at least 10: fell short"
    assert bench.verdict(1.25, at_most=1.25) == "at most 1.25: reached"
    assert bench.verdict(1.26, at_most=1.25, unit=" s") == "at most 1.25 s: fell short"
    assert bench.verdict(None, at_most=1.25) == "at most 1.25: not measured"
    assert bench.verdict(float("nan"), at_most=1) == "at most 1: fell short"
    assert bench.verdict(3.0) == "-"


def test_a_ratio_shows_both_sides_and_what_was_asked():
    row = bench.ratio_row(8192, "library", "ours", {"ours": 0.5, "library": 4.0}, "ms", at_least=10)
    assert row == [8192, "library / ours", "4.000 ms", "0.5000 ms", 8.0, "at least 10: fell short"]
    assert len(row) == len(bench.RATIO_HEADER)
    row = bench.ratio_row(512, "library", "ours", {"ours": None, "library": 4.0}, "MiB", at_least=10)
    assert row == [512, "library / ours", "4.000 MiB", None, None, "at least 10: not measured"]


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_slope_is_the_power_of_the_larger_half(power):
    sizes = [4**n for n in range(6)]
    times = [7.0] * 3 + [0.3 * size**power for size in sizes[3:]]  # the smaller half is flat, and is left out
    assert bench.slope(sizes, times) == pytest.approx(power)


@pytest.mark.parametrize("rows", [1, 1024, 2500])
def test_the_bare_product_gives_the_nearest_codes(rows):
    generator = torch.Generator().manual_seed(rows)
    flat, codebook = (torch.randn(n, 16, generator=generator) for n in (rows, 70))
    codes = bench.bare_product(flat, codebook, torch.empty(1024, 70), torch.full((rows,), -1))
    assert torch.equal(codes, nearest_codes(flat, codebook))


def test_a_training_step_goes_forward_updates_and_goes_back():
    latents, gradient = bench.make_latents(50)
    for side in ("ours", "library"):
        layer = bench.make_layer(side, 16)
        before = {name: value.clone() for name, value in layer.state_dict().items()}
        x, kept = latents.clone(), []
        hook = layer.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
        bench.training_step(layer, x, gradient)
        hook.remove()
        moved = [name for name, value in layer.state_dict().items() if not torch.equal(value, before[name])]
        assert any("cluster_size" in name for name in moved) and any("embed" in name for name in moved)
        # straight through: the fixed gradient, and the commitment loss's own
        assert not torch.equal(kept[0].grad, gradient)
        assert (kept[0].grad - gradient).abs().max() < 0.1


def test_medians_give_each_side_its_turn_in_every_round():
    turns = []
    sides = {name: lambda name=name: turns.append(name) for name in "ab"}
    found = bench.medians(sides, repeats=3, warm_up=2, wait=lambda: turns.append("wait"))
    assert turns == ["wait", "a", "wait", "wait", "b", "wait"] * 5
    assert found.keys() == {"a", "b"} and all(ms >= 0 for ms in found.values())


def test_speed_end_to_end_on_small_sizes():
    lines = cells(bench.speed({8: 1, 512: 1}, rows=64))[2:]
    assert [line[:2] for line in lines] == [
        [k, ratio] for k in ("8", "512") for ratio in ("library / ours", "ours / bare")
    ]
    assert all(line[2].endswith(" ms") and line[3].endswith(" ms") for line in lines)
    assert [line[-1].split(":")[0] for line in lines] == ["at least 10", "-", "at least 10", "at most 1.7"]


def test_linear_end_to_end_on_small_sizes():
    text = bench.linear(rows=(16, 32, 64), sizes=(4, 8, 16))
    sizes = [line[:2] for line in cells(text) if line[0].isdigit()]
    assert sizes == [["16", "16"], ["32", "16"], ["64", "16"], ["64", "4"], ["64", "8"], ["64", "16"]]
    assert text.count("larger half: ") == 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read from Linux's /proc")
def test_memory_of_a_step_is_measured_in_a_process_of_its_own():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), "--memory", "ours", "16"]
    found = json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    one = bench.ROWS * bench.DIM * 4 / 2**20  # MiB of the latents, whose gradient and quantised values are as large
    assert found is None or one < found < 20 * one


RESULT = {
    "recipe": "ours", "updates": 400, "batch_size": 256, "data": "local", "test_images": 1000, "seconds": 80.0,
    "nmse": 0.051, "perplexity": 300.0, "usage": 0.9,
    "looks": [{"update": 100, "nmse": 0.08}, {"update": 200, "nmse": 0.053}, {"update": 300, "nmse": 0.05},
              {"update": 400, "nmse": 0.051}],
}  # fmt: skip


def test_cuda_tables_say_when_the_published_error_was_reached():
    text = bench.cuda_tables({512: {"ours": 1.0, "library": 3.0}}, RESULT)
    found = {line[0]: line[1:] for line in cells(text)}
    assert found["NMSE at the end"] == ["0.05100", "at most 0.053: reached"] and found["best NMSE"][0] == "0.05000"
    assert found["updates until NMSE <= 0.053"][0] == "200" and found["images until then"][0] == "51,200"
    assert found["seconds until then, taken as proportional to updates"][0] == "40.00"
    assert found["512"][1:4] == ["3.000 ms", "1.000 ms", "3.000"] and "not measured" in found["8,192"]
    assert "1,000 test images, data: local" in text
    late = bench.cuda_tables({}, {**RESULT, "nmse": 0.06, "looks": RESULT["looks"][:1]})
    assert "| images until then | never |" in late and "fell short" in late
    assert "reached" not in bench.cuda_tables({}, {**RESULT, "data": "sample"})


def test_without_a_gpu_the_cuda_rows_say_so_and_name_the_command(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    text = bench.cuda()
    assert "`make bench` on a machine with a CUDA GPU" in text
    measured = [line for line in cells(text) if line[-1] not in ("asked", "---")]
    assert len(measured) > 8 and all("not measured" in line[1:] for line in measured)


@pytest.mark.parametrize("source, asked", [("local", "at most 0.053: reached"), ("sample", "asked of CIFAR-10 only")])
def test_full_table_stands_beside_the_published_figures(monkeypatch, source, asked):
    images = torch.zeros(5, 32, 32, 3, dtype=torch.uint8)
    dataset = bench.data.Dataset(images, images, images[:2], images[:2], "cifar10", source)
    monkeypatch.setattr(bench, "cifar", lambda: dataset)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    values = {"nmse": 0.0265, "perplexity": 254.0, "usage": 1.0, "seconds": 601.0}
    text = bench.full_table(values, updates=1000, batch_size=16)
    found = {line[0]: line[1:] for line in cells(text)}
    assert found["NMSE"] == ["0.02650", "0.05300", "2.000", asked]
    assert found["training, s"][-1] == "at most 600 s on 2 cores: fell short"
    assert found["images seen"] == ["16,000", "51,200,000", "3,200", "-"]
    assert "2 test images" in text and ("not CIFAR-10" in text) is (source == "sample")


def test_each_section_is_written_as_it_comes_and_the_rest_is_not_measured(monkeypatch, tmp_path):
    path = tmp_path / "RESULTS.md"
    seen = []

    def failing():
        seen.append(path.read_text())
        raise RuntimeError("no memory left")

    def cut_short():
        seen.append(path.read_text())
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "SECTIONS", {
        "one": ("First", lambda: "| 1 |"), "two": ("Second", failing), "three": ("Third", cut_short),
        "four": ("Fourth", lambda: "| 4 |"),
    })  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        bench.main(["--only", "one,two,three,four", "--output", str(path)])
    assert seen[0].endswith("## First\n\n| 1 |\n\n## Second\n\nnot measured\n\n## Third\n\nnot measured\n\n"
                            "## Fourth\n\nnot measured\n")  # fmt: skip
    assert "## Second\n\nnot measured: RuntimeError: no memory left\n" in seen[1]
    assert path.read_text() == seen[1] and os.listdir(tmp_path) == ["RESULTS.md"]
    assert "`make bench`" in seen[0].splitlines()[0]
    assert all(name in seen[0] for name in ("threads", "bfloat16", "Python", "torch", "vector-quantize-pytorch"))

    bench.main(["--only", "four", "--output", str(path)])
    text = path.read_text()
    assert "| 4 |" in text and "| 1 |" in text and text.count("\nnot measured\n") == 1  # the others stay as they were
    path.write_text(text.replace("threads: ", "threads: 1"))
    bench.main(["--only", "four", "--output", str(path)])
    text = path.read_text()
    assert text.count("\nnot measured\n") == 1 and "| 4 |" in text.split("## Fourth\n\n")[1][:6]
    assert (
        "## First\n\n*Measured on another machine" in text
        and "threads: 1" in text.split("## First")[1].split("| 1 |")[0]
    )
    bench.main(["--only", "four", "--output", str(path)])
    assert path.read_text() == text  # said once
    with pytest.raises(SystemExit, match="two"):
        bench.main(["--only", "two", "--output", str(path)])


def test_an_unknown_section_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        bench.main(["--only", "speed,sped", "--output", str(tmp_path / "RESULTS.md")])
    assert "no section sped" in capsys.readouterr().err and not list(tmp_path.iterdir())
