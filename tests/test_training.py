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
    fit(model, data, lambda m, b: order.append(b.flatten().tolist()) or step(m, b), updates=6, batch_size=4, progress=False)
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
        fit(model, torch.arange(9.0)[:, None], lambda m, b: order.append(b) or step(m, b), updates=2, seed=seed, batch_size=9, progress=False)
        assert torch.equal(torch.get_rng_state(), state)
        orders.append(torch.cat(order))
    assert torch.equal(orders[0], orders[1]) and not torch.equal(orders[0], orders[2])


def test_history_callbacks_and_mode():
    model = torch.nn.Linear(1, 1).eval()
    told = []
    history = fit(
        model, torch.ones(8, 1), step, updates=3, batch_size=4, progress=False,
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


def test_fit_knows_nothing_of_vector_quantisation():
    import course_lib.training as training

    source = open(training.__file__, encoding="utf-8").read()
    assert "quantiz" not in source and "perplexity" not in source
