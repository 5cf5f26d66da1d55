import ast
import copy
import os
import subprocess
import sys

import pytest
import torch

from course_lib.training import fit


def step(model, batch):
    return {"loss": (model(batch) - 1).square().mean(), "rows": len(batch)}


def test_fit_is_the_plain_loop():
    data = torch.randn(10, 3, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    twin = torch.nn.Linear(3, 1)
    twin.load_state_dict(model.state_dict())
    seen = []

    def recording_step(model, batch):
        seen.append(batch.clone())
        return step(model, batch)

    history = fit(model, data, recording_step, updates=7, batch_size=4, progress=False)
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-3)
    losses = []
    for batch in seen:
        loss = step(twin, batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    torch.testing.assert_close(model.weight, twin.weight)
    assert history["loss"] == pytest.approx(losses)


def test_every_epoch_visits_each_row_once_in_a_new_order():
    data = torch.arange(10.0)[:, None]
    order = []
    model = torch.nn.Linear(1, 1)
    fit(
        model,
        data,
        lambda m, b: order.append(b.flatten().tolist()) or step(m, b),
        updates=6,
        batch_size=4,
        progress=False,
    )
    first, second = sum(order[:3], []), sum(order[3:], [])
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second and first != list(range(10))
    assert [len(batch) for batch in order] == [4, 4, 2, 4, 4, 2]


def test_the_order_comes_from_the_seed_and_leaves_the_global_generator_alone():
    orders = []
    for seed in (0, 0, 1):
        order = []
        torch.manual_seed(5)
        model = torch.nn.Linear(1, 1)
        state = torch.get_rng_state()
        fit(
            model,
            torch.arange(9.0)[:, None],
            lambda m, b: order.append(b) or step(m, b),
            updates=2,
            seed=seed,
            batch_size=9,
            progress=False,
        )
        assert torch.equal(torch.get_rng_state(), state)
        orders.append(torch.cat(order))
    assert torch.equal(orders[0], orders[1]) and not torch.equal(orders[0], orders[2])


def test_history_callbacks_and_mode():
    model = torch.nn.Linear(1, 1).eval()
    told = []
    history = fit(
        model,
        torch.ones(8, 1),
        step,
        updates=3,
        batch_size=4,
        progress=False,
        callbacks=[lambda update, m, scalars: told.append((update, m is model, scalars["loss"]))],
    )
    assert model.training
    assert history["rows"] == [4, 4, 4]
    assert told == [(i + 1, True, loss) for i, loss in enumerate(history["loss"])]


def test_progress_bar_shows_what_the_step_returns(capsys):
    fit(torch.nn.Linear(1, 1), torch.ones(8, 1), step, updates=3, batch_size=4)
    shown = capsys.readouterr().out
    assert "3/3" in shown and "rows=4" in shown and "loss=" in shown


def test_a_loss_that_is_not_finite_stops_before_it_spoils_the_weights():
    model = torch.nn.Linear(1, 1)
    data = torch.ones(8, 1)
    before = {}

    def failing(model, batch):
        before["weight"] = model.weight.detach().clone()
        values = step(model, batch)
        failing.calls += 1
        return {"loss": values["loss"] * (float("nan") if failing.calls == 3 else 1)}

    failing.calls = 0
    with pytest.raises(FloatingPointError, match="nan at update 3"):
        fit(model, data, failing, updates=9, batch_size=4, progress=False)
    assert torch.equal(model.weight, before["weight"]) and model.weight.isfinite().all()


@pytest.mark.parametrize("bad", [{"updates": 0}, {"updates": 1, "batch_size": 0}])
def test_bad_settings_are_refused(bad):
    with pytest.raises(ValueError, match="wanted at least 1"):
        fit(torch.nn.Linear(1, 1), torch.ones(8, 1), step, **bad)
    with pytest.raises(ValueError, match="0 rows"):
        fit(torch.nn.Linear(1, 1), torch.ones(0, 1), step, updates=1)


def test_the_command_that_trained_once_says_where_training_is_now():
    done = subprocess.run(
        [sys.executable, "-m", "course_lib.training", "--updates", "3"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "python -m course_lib.recipes" in done.stderr


def test_fit_knows_nothing_of_vector_quantisation():
    import course_lib.training as training

    source = open(training.__file__, encoding="utf-8").read()
    assert "quantiz" not in source and "perplexity" not in source


# ----------------------------------------------------------------------------------------------------------------------
# Images as uint8, mixed precision, schedules


def test_the_data_may_be_uint8_and_reach_the_step_as_it_is():
    data = torch.arange(24, dtype=torch.uint8).reshape(8, 3)
    kinds = []

    def uint8_step(model, batch):
        kinds.append(batch.dtype)
        return step(model, batch.float() / 255)

    fit(torch.nn.Linear(3, 1), data, uint8_step, updates=2, batch_size=4, progress=False)
    assert kinds == [torch.uint8] * 2


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_the_step_runs_under_autocast(dtype):
    kinds = []

    def watching(model, batch):
        kinds.append(model(batch).dtype)
        return step(model, batch)

    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    start = model.weight.detach().clone()
    fit(model, torch.rand(8, 3), watching, updates=2, batch_size=4, autocast=dtype, progress=False)
    assert kinds == [dtype or torch.float32] * 2
    assert model.weight.dtype == torch.float32 and not torch.equal(model.weight, start)


def test_loss_scaling_under_float16_saves_gradients_that_would_vanish():
    """Gradients of 1e-8 are below float16's smallest number, 6e-8; scaled by 65,536 they are not."""
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e7)
    fit(model, torch.ones(4, 1), lambda m, b: {"loss": m(b).float().mean() * 1e-8}, updates=1, batch_size=4,
        optimizer=optimizer, autocast=torch.float16, progress=False)  # fmt: skip
    assert model.weight.item() == pytest.approx(0.9, rel=1e-3)  # 1 - 1e7 * 1e-8


def test_the_scheduler_is_stepped_after_every_update():
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: 0.5**update)
    rates = []
    fit(model, torch.ones(8, 1), step, updates=3, batch_size=4, optimizer=optimizer, scheduler=scheduler,
        callbacks=[lambda *_: rates.append(optimizer.param_groups[0]["lr"])], progress=False)  # fmt: skip
    assert rates == [0.5, 0.25, 0.125]


# ----------------------------------------------------------------------------------------------------------------------
# Checkpoints

# Dropout and batch norm: random numbers and buffers matter. Momentum and schedule: so do the optimizer's.
PROGRAM = """
import sys, time, torch
from course_lib.training import fit

def run(updates, checkpoint=None, every=3, pause=0.0, dtype=None, callbacks=()):
    torch.manual_seed(0)
    layers = torch.nn.Linear(3, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=60)
    data = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))

    def step(model, batch):
        time.sleep(pause)
        return {"loss": (model(batch).float() - batch.sum(1, keepdim=True)).square().mean(), "rows": len(batch)}

    history = fit(model, data, step, updates=updates, batch_size=8, optimizer=optimizer, scheduler=scheduler, seed=4,
                  checkpoint=checkpoint, checkpoint_every=every, autocast=dtype, callbacks=callbacks, progress=False)
    return model, history

def killed_and_taken_up_again(path, moments):
    "The moments, in seconds after the first checkpoint of each process, at which it was killed."
    import os, pathlib, signal
    path, kills = pathlib.Path(path), []
    torch.set_num_threads(1)
    run(1)  # whatever is imported at the first update is imported once, before the forks
    for moment in moments:
        before = path.stat().st_mtime_ns if path.exists() else 0
        child = os.fork()
        if child == 0:
            run(60, path, every=1, pause=0.005)
            os._exit(0)
        while os.waitpid(child, os.WNOHANG) == (0, 0) and before == (path.stat().st_mtime_ns if path.exists() else 0):
            time.sleep(0.001)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        kills += [torch.load(path, weights_only=True)["update"]]  # whole, whatever the moment
        os.waitpid(child, 0)
    return kills

def same(one, other):
    (one, one_history), (other, other_history) = one, other
    states = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return one_history == other_history and all(torch.equal(a, b) for a, b in states)

if __name__ == "__main__":
    print(killed_and_taken_up_again(sys.argv[1], [0.013, 0.031, 0.058, 0.002, 0.04, 0.021, 0.009, 0.035]))
    print(same(run(60, sys.argv[1]), run(60)))  # here, with one thread too: another number may round otherwise
"""
exec(PROGRAM.split("if __name__")[0], program := {})
run, same = program["run"], program["same"]


@pytest.mark.parametrize("dtype", [None, torch.float16])
@pytest.mark.parametrize("broken_off_at", [1, 7, 20, 59])
def test_a_run_broken_off_and_taken_up_again_ends_as_if_unbroken(tmp_path, broken_off_at, dtype):
    path = tmp_path / "run.pt"

    def break_off(update, *_):
        if update == broken_off_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(60, path, dtype=dtype, callbacks=[break_off])
    assert path.exists() == (broken_off_at > 3)
    assert same(run(60, path, dtype=dtype), run(60, dtype=dtype))
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_a_run_killed_at_any_moment_ends_with_the_same_weights(tmp_path):
    path, script = tmp_path / "run.pt", tmp_path / "program.py"
    script.write_text(PROGRAM)
    unseen = os.environ | {"CUDA_VISIBLE_DEVICES": ""}  # beside a GPU, autograd has threads, and no fork is allowed
    done = subprocess.run([sys.executable, script, path], capture_output=True, text=True, timeout=300, env=unseen)
    assert done.returncode == 0, done.stderr
    reached, equal = map(ast.literal_eval, done.stdout.splitlines())
    assert len(set(reached)) >= 4 and reached == sorted(reached) and reached[0] < 60, reached
    assert equal
    assert [file.name for file in tmp_path.iterdir() if file != script] == ["run.pt"]


def test_a_run_that_is_complete_is_not_repeated(tmp_path):
    path = tmp_path / "run.pt"
    first = run(12, path)
    steps = []
    second = run(12, path, callbacks=[lambda *_: steps.append(1)])
    assert same(first, second) and not steps


def test_a_finished_run_can_be_made_longer(tmp_path):
    path = tmp_path / "run.pt"
    run(20, path)
    assert same(run(41, path), run(41))


def test_a_failed_write_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    run(5, path)
    before = path.read_bytes()

    def half(state, file):
        file.write(b"half a checkpoint")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="no space left"):
        run(10, path)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize("broken", [b"", b"not a checkpoint", "half", {"weights": torch.ones(2)}, 7])
def test_a_broken_checkpoint_is_named_and_kept(tmp_path, broken):
    path = tmp_path / "run.pt"
    run(5, path)
    if broken == "half":
        broken = path.read_bytes()[: path.stat().st_size // 2]
    if isinstance(broken, bytes):
        path.write_bytes(broken)
    else:
        torch.save(broken, path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="run.pt is not a checkpoint of `fit`, or is broken.*Move it away"):
        run(10, path)
    assert path.read_bytes() == before


def test_a_checkpoint_that_would_run_code_does_not(tmp_path):
    path = tmp_path / "run.pt"
    torch.save({"settings": Bomb(tmp_path / "went off")}, path)
    with pytest.raises(ValueError, match="run.pt is not a checkpoint"):
        run(10, path)
    assert not (tmp_path / "went off").exists()


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing(tmp_path):
    path = tmp_path / "run.pt"
    run(12, path)
    with pytest.raises(ValueError, match="run.pt is of another run.*update 12.*update 5"):
        run(5, path)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Linear(8, 1))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="of another run.*'batch_size': 8.*'batch_size': 10"):
        fit(model, torch.ones(50, 3), step, updates=20, batch_size=10, seed=4, checkpoint=path, progress=False)
    for layers in (model, torch.nn.Sequential(*[torch.nn.Identity()] * 2, torch.nn.Linear(3, 8))):
        optimizer = torch.optim.AdamW(layers.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=60)
        with pytest.raises(ValueError, match="run.pt is of another model"):
            fit(layers, torch.ones(50, 3), step, updates=20, batch_size=8, seed=4, optimizer=optimizer,
                scheduler=scheduler, checkpoint=path, progress=False)  # fmt: skip
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=70)
    with pytest.raises(ValueError, match="another run.*'scheduled updates': 60.*'scheduled updates': 70"):
        fit(model, torch.ones(50, 3), step, updates=20, batch_size=8, seed=4, optimizer=optimizer,
            scheduler=scheduler, checkpoint=path, progress=False)  # fmt: skip
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("spoiled", ["loss", "gradient"])
def test_nan_stops_the_run_and_keeps_the_last_checkpoint(tmp_path, spoiled):
    path, model = tmp_path / "run.pt", torch.nn.Linear(1, 1)
    calls = []

    def failing(model, batch):
        calls.append(1)
        loss = step(model, batch)["loss"]
        if len(calls) == 8:  # sqrt(0) is finite, its gradient is not
            return {"loss": loss * float("nan") if spoiled == "loss" else loss + (0 * model.weight).sum().sqrt()}
        return {"loss": loss}

    with pytest.raises(FloatingPointError, match="at update 8.*run.pt keeps the weights of update 6"):
        fit(
            model,
            torch.ones(8, 1),
            failing,
            updates=20,
            batch_size=4,
            checkpoint=path,
            checkpoint_every=3,
            progress=False,
        )
    assert model.weight.isfinite().all()
    kept = torch.load(path, weights_only=True)
    assert kept["update"] == 6 and kept["model"]["weight"].isfinite().all()


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    path, model = tmp_path / "run.pt", torch.nn.Linear(1, 1)

    def spoil(update, model, scalars):
        if update == 5:
            model.weight.data.fill_(float("nan"))

    with pytest.raises(FloatingPointError, match="weight is not finite after update 5.*keeps the weights of update 4"):
        fit(model, torch.ones(8, 1), step, updates=20, batch_size=4, checkpoint=path, checkpoint_every=1,
            callbacks=[spoil], progress=False)  # fmt: skip
    assert torch.load(path, weights_only=True)["update"] == 4
