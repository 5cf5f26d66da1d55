"""Two gloo processes against one process on the joint batch: the same codebook, the same model, the same figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

# Run by one process or, under torchrun, by two; writes what it ended with to the folder it is given.
PROGRAM = """
import os, sys, torch
import torch.distributed as dist
from course_lib.quantize import VectorQuantizerEMA
from course_lib.training import fit

folder = sys.argv[1]
torch.set_num_threads(1)
ranks = int(os.environ.get("WORLD_SIZE", 1))
if ranks > 1:
    dist.init_process_group("gloo")
rank = dist.get_rank() if ranks > 1 else 0
ends = {}

# The layer alone: k-means at the start, restarts in every update; one rank gets more rows than the other.
torch.manual_seed(0 if rank == 0 else 99)  # what rank 1 would draw must not matter
layer = VectorQuantizerEMA(4, 24, decay=0.5, kmeans_init=True, dead_code_threshold=0.8)
generator = torch.Generator().manual_seed(1)
for update in range(8):
    joint = torch.randn(50, 4, generator=generator) + update
    layer([joint[:20], joint[20:]][rank] if ranks > 1 else joint)
    ends[f"codebook {update}"] = layer.codebook.clone()
ends |= {f"layer {name}": value for name, value in layer.state_dict().items()}

# A whole model in `fit`: 26 rows, batches of 8, so that the last of an epoch has 2 rows.
torch.manual_seed(0 if rank == 0 else 99)
quantizer = VectorQuantizerEMA(3, 8, decay=0.8, kmeans_init=True, dead_code_threshold=0.5)
model = torch.nn.Sequential(torch.nn.Linear(5, 3), quantizer)
data = torch.randn(26, 5, generator=generator)

def step(model, batch):
    quantized, codes, loss = model(batch)
    return {"loss": loss + (quantized.sum(1) - batch.sum(1)).square().mean()}

history = fit(model, data, step, updates=9, batch_size=8, seed=3, progress=False,
              checkpoint=f"{folder}/{ranks}.pt", checkpoint_every=4)
ends |= {f"model {name}": value for name, value in model.state_dict().items()}
ends["losses"] = torch.tensor(history["loss"])
torch.save(ends, f"{folder}/{ranks}-{rank}.ends")
if ranks > 1:
    dist.destroy_process_group()
"""
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "COURSE_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",  # two processes want two GPUs, or none
    "PYTHONPATH": str(Path(__file__).parent.parent),
}
ALONE, TWO = [sys.executable], [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (dist.is_available() and dist.is_gloo_available()), reason="needs torch.distributed with gloo"
    ),
]


def ran(*command, **environment):
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=600, env=ENVIRONMENT | environment
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    script = folder / "program.py"
    script.write_text(PROGRAM)
    ran(*ALONE, script, folder)
    ran(*TWO, script, folder)
    return {name: torch.load(folder / f"{name}.ends") for name in ("1-0", "2-0", "2-1")}


def test_two_processes_learn_the_codebook_of_one_on_the_joint_batch(ends):
    for name, wanted in ends["1-0"].items():
        torch.testing.assert_close(ends["2-0"][name], wanted, rtol=0, atol=1e-5, msg=lambda text: f"{name}: {text}")


def test_restarts_and_k_means_were_part_of_it(ends):
    layer = ends["1-0"]
    assert layer["layer initialised"] and (layer["layer cluster_size"] == 1).any()  # restarted in the last update
    assert not torch.allclose(layer["codebook 7"], layer["codebook 0"])


def test_both_ranks_end_with_the_same_to_the_last_bit(ends):
    for name, value in ends["2-0"].items():
        assert torch.equal(value, ends["2-1"][name]), name


def test_torchrun_trains_the_model_that_one_process_trains(tmp_path):
    arguments = ["-m", "course_lib.recipes", "--updates", "3", "--batch-size", "16", "--evaluate-every", "2", "--data"]
    results = []
    for start in (ALONE, TWO):
        out = ran(*start, *arguments, tmp_path, "--checkpoint", tmp_path / f"{len(start)}.pt")
        results.append(json.loads(out.strip().splitlines()[-1]))
    one, two = results
    assert (one["ranks"], two["ranks"], one["updates"], one["data"]) == (1, 2, 3, "sample")
    assert [look["update"] for look in one["looks"]] == [2, 3]
    assert two["nmse"] == pytest.approx(one["nmse"], rel=1e-3) and two["perplexity"] == pytest.approx(
        one["perplexity"], rel=0.05
    )
    assert (tmp_path / f"{len(TWO)}.pt").exists()


def test_a_bad_batch_size_is_told_in_one_line(tmp_path):
    command = [*ALONE, "-m", "course_lib.recipes", "--batch-size", "0", "--data", tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, env=ENVIRONMENT)
    assert done.returncode == 1 and "batch_size=0" in done.stderr and "Traceback" not in done.stderr
