"""The course's code on a GPU that is not there: the same numbers as on the CPU, and nothing left lying elsewhere."""

from contextlib import nullcontext

import pytest
import torch
from fake_cuda import a_gpu
from torch import nn


@pytest.fixture
def gpu():
    with a_gpu():
        yield


# What CUDA refuses, and what it takes: as PyTorch 2.11 does on an H100.
MISTAKES = {
    "two operands": lambda here, there: there + here,
    "in place": lambda here, there: here.add_(there),
    "a number that is written to": lambda here, there: here[0, 0].add_(there[0, 0]),
    "a product": lambda here, there: there @ here.T,
    "a layer whose input stayed": lambda here, there: nn.Linear(4, 2).to("cuda")(here),
    "codes that stayed": lambda here, there: nn.functional.embedding(torch.tensor([0]), there),
    "an index on the GPU into what is not": lambda here, there: here[torch.tensor([0], device="cuda")],
    "values that stayed": lambda here, there: there.__setitem__(there > 0, torch.ones(12)),
    "numbers in a row": lambda here, there: torch.stack([there[0, 0], here[0, 0]]),
    "to compare": lambda here, there: torch.equal(there, here),
    "rows": lambda here, there: torch.cat([there, here]),
    "to add at an index": lambda here, there: there.index_add_(0, torch.tensor([0]), there[:1]),
    "to look at as NumPy": lambda here, there: there.numpy(),
    "to hand to NumPy": lambda here, there: memoryview(there.__array__()),
    "a CPU's generator": lambda here, there: torch.rand(2, device="cuda", generator=torch.Generator().manual_seed(0)),
    "a GPU's generator": lambda here, there: torch.rand(2, generator=torch.Generator("cuda").manual_seed(0)),
    "a draw": lambda here, there: torch.multinomial(there, 1, generator=torch.Generator()),
    "a second GPU": lambda here, there: here.to("cuda:1"),
    "a loss": lambda here, there: nn.functional.mse_loss(there, here),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_what_cuda_refuses_is_refused(gpu, mistake):
    here = torch.ones(3, 4)
    with pytest.raises((RuntimeError, TypeError), match="same device|device type|invalid device"):
        mistake(here, here.to("cuda"))


def test_what_cuda_takes_is_taken(gpu):
    here = torch.arange(12.0).reshape(3, 4)
    there = here.to("cuda")
    assert torch.equal((there + torch.tensor(2.0)).cpu(), here + 2)  # a number may come from anywhere
    assert torch.equal(there[torch.tensor([2, 0])].cpu(), here[[2, 0]])  # an index too
    assert there.to("cuda") is there and there.to("cuda:0") is there and there.cuda() is there
    assert there.cpu().device.type == "cpu" and there[0].tolist() == [0, 1, 2, 3] and f"{there[0, 1]:.1f}" == "1.0"
    assert here.copy_(there * 2)[0, 1] == 2 and there.copy_(here).device.type == "cuda"
    assert nn.functional.one_hot(there[0].long(), 4).device.type == "cuda"
    assert torch.full_like(there, 3, device="cpu").device.type == "cpu"
    generator = torch.Generator("cuda").manual_seed(0)
    assert torch.randperm(5, device="cuda", generator=generator).device == there.device == torch.device("cuda", 0)


def learnt(device):
    with a_gpu() if device == "cuda" else nullcontext():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)  # before the model moves, as CUDA allows
        model, x = model.to(device), torch.rand(5, 1, 4, 4).to(device)
        for _ in range(3):
            with torch.autocast(device, dtype=torch.bfloat16):
                y = model(x)
            assert y.dtype == torch.bfloat16
            optimizer.zero_grad()
            y.float().square().mean().backward()
            optimizer.step()
        assert all(p.device.type == p.grad.device.type == device for p in model.parameters())
        return torch.cat([p.detach().cpu().flatten() for p in model.parameters()])


def test_a_model_learns_there_what_it_learns_here():
    assert torch.equal(learnt("cpu"), learnt("cuda"))


def test_a_gpu_leaves_no_trace():
    with a_gpu():
        assert torch.cuda.is_available()
    assert not torch.cuda.is_available() and type(torch.nn.Linear(1, 1).double().weight) is nn.Parameter
    assert torch.Generator().device.type == "cpu" and torch.tensor([1.0]).device.type == "cpu"
