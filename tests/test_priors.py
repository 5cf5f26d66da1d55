"""Priors: masks by hand, bits against NumPy, draws against exact probabilities, cached sampling against plain."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from course_lib import priors

NETWORKS = {
    "PixelCNN": lambda **more: priors.PixelCNN(7, (4, 3), classes=2, channels=8, layers=2, **more),
    "wide PixelCNN": lambda: priors.PixelCNN(7, (4, 3), classes=2, channels=8, layers=3, first_kernel=7),
    "CodeTransformer": lambda **more: priors.CodeTransformer(
        7, (4, 3), classes=2, channels=8, layers=2, heads=2, **more
    ),
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    return NETWORKS[request.param]().double()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def codes_of(count, seed=0):
    return torch.randint(7, (count, 4, 3), generator=seeded(seed))


# ----------------------------------------------------------------------------------------------------------------------
# Three functions


def test_masks_by_hand():
    a = [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert priors.causal_mask(3, "A").tolist() == a
    a[1][1] = 1
    assert priors.causal_mask(3, "B").tolist() == a
    assert priors.causal_mask(1, "A").tolist() == [[0]] and priors.causal_mask(1, "B").tolist() == [[1]]
    assert priors.causal_mask(5, "B").dtype == torch.float32


@pytest.mark.parametrize("size, kind", list(itertools.product((1, 3, 5, 9), "AB")))
def test_masks_show_what_comes_before_in_reading_order(size, kind):
    mask, centre = priors.causal_mask(size, kind), size // 2
    for row, column in itertools.product(range(size), repeat=2):
        before = (row, column) < (centre, centre) or (kind == "B" and (row, column) == (centre, centre))
        assert mask[row, column] == before


@pytest.mark.parametrize("size, kind", [(4, "A"), (0, "B"), (-1, "A"), (3.0, "A"), (3, "C"), (3, "a"), (3, None)])
def test_masks_that_cannot_be_are_refused(size, kind):
    with pytest.raises(ValueError, match="wanted"):
        priors.causal_mask(size, kind)


@pytest.mark.parametrize("axes", [(), (5,), (2, 3), (2, 1, 3)])
def test_bits_are_those_of_numpy_and_so_is_the_gradient(axes):
    logits = torch.randn(4, 6, *axes, generator=seeded(), dtype=torch.float64, requires_grad=True)
    codes = torch.randint(6, (4, *axes), generator=seeded(1))
    rows = np.moveaxis(logits.detach().numpy(), 1, -1).reshape(-1, 6)
    p = np.exp(rows) / np.exp(rows).sum(1, keepdims=True)
    chosen = codes.numpy().reshape(-1)
    bits = priors.bits_per_code(logits, codes)
    assert math.isclose(bits.item(), -np.log2(p[np.arange(len(p)), chosen]).mean())
    bits.backward()
    wanted = (p - np.eye(6)[chosen]) / len(p) / np.log(2)  # the derivative of -log2 p, by hand
    np.testing.assert_allclose(np.moveaxis(logits.grad.numpy(), 1, -1).reshape(-1, 6), wanted, atol=1e-12)


def test_equal_logits_cost_log2_k():
    bits = priors.bits_per_code(torch.zeros(3, 8, 2, 2), torch.zeros(3, 2, 2, dtype=torch.int64))
    assert math.isclose(bits.item(), 3, rel_tol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_have_the_probabilities_of_the_softmax(temperature):
    logits = torch.tensor([[0.3, -1.0, 1.2, 0.0], [2.0, 0.1, 0.1, -0.5]], dtype=torch.float64)  # (2 places, K=4)
    n = 20_000
    codes = priors.sample_codes(logits.T.expand(n, 4, 2), temperature, seeded())  # (n, 2)
    for place in range(2):
        p = np.exp(logits[place].numpy() / temperature)
        observed = np.bincount(codes[:, place], minlength=4)
        assert chisquare(observed, n * p / p.sum()).pvalue > 1e-4


def test_temperature_0_takes_the_likeliest_and_draws_nothing():
    logits, generator = torch.randn(5, 6, 2, 3, generator=seeded()), seeded(1)
    before = generator.get_state()
    assert torch.equal(priors.sample_codes(logits, 0.0, generator), logits.argmax(1))
    assert torch.equal(generator.get_state(), before)


def test_the_generator_alone_decides():
    logits = torch.zeros(50, 6, 2)
    torch.manual_seed(0)
    one = priors.sample_codes(logits, 1.0, seeded(3))
    torch.manual_seed(1)
    assert torch.equal(one, priors.sample_codes(logits, 1.0, seeded(3)))
    assert not torch.equal(one, priors.sample_codes(logits, 1.0, seeded(4)))


NAN = torch.tensor([[0.0, float("nan")]])


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: priors.bits_per_code(torch.zeros(2, 3, 4), torch.zeros(2, 3, dtype=torch.int64)), r"\(2, 4\)"),
        (lambda: priors.bits_per_code(torch.zeros(2, 3), torch.zeros(2)), "int64"),
        (lambda: priors.bits_per_code(NAN, torch.zeros(1, dtype=torch.int64)), "NaN"),
        (lambda: priors.sample_codes(torch.zeros(3)), "wanted floating-point"),
        (lambda: priors.sample_codes(torch.zeros(0, 3)), "not empty"),
        (lambda: priors.sample_codes(torch.zeros(1, 3, dtype=torch.int64)), "floating-point"),
        (lambda: priors.sample_codes(NAN), "NaN"),
        (lambda: priors.sample_codes(torch.zeros(1, 3), -1.0), "temperature is -1.0"),
        (lambda: priors.sample_codes(torch.zeros(1, 3), float("inf")), "temperature is inf"),
        (lambda: priors.CodeTransformer(7, (4, 3), channels=9, heads=2), "9 channels"),
    ],
)
def test_what_cannot_be_is_told(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# ----------------------------------------------------------------------------------------------------------------------
# Two networks


def test_a_prediction_depends_on_earlier_codes_alone(network):
    """Each code in turn is changed: what moves must come after it, and the place after it must move."""
    codes = codes_of(5)
    before = network(codes)
    assert before.shape == (5, 7, 4, 3)
    for place in range(12):
        changed = codes.clone()
        changed.flatten(1)[:, place] = (changed.flatten(1)[:, place] + 1) % 7
        moved = (network(changed) != before).any(1).flatten(1).any(0)  # (12,)
        assert not moved[: place + 1].any()
        assert place == 11 or place % 3 == 2 or moved[place + 1]  # at a row's end the next place may be out of sight


def test_a_transformer_sees_all_that_comes_before():
    network = NETWORKS["CodeTransformer"]().double()
    codes = codes_of(1)
    last = network(codes)[0, :, 3, 2]
    for place in range(11):
        changed = codes.clone()
        changed.flatten(1)[:, place] = (changed.flatten(1)[:, place] + 1) % 7
        assert not torch.equal(network(changed)[0, :, 3, 2], last)


def test_labels_matter_and_none_is_the_last_of_them(network):
    codes = codes_of(3)
    any_label = torch.full((3,), 2)
    assert torch.equal(network(codes), network(codes, any_label))
    assert not torch.allclose(network(codes), network(codes, torch.zeros(3, dtype=torch.int64)))


def test_every_parameter_learns(network):
    priors.bits_per_code(network(codes_of(64), torch.arange(64) % 3), codes_of(64, 1)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_probabilities_of_all_grids_add_up_to_1():
    """A 1 x 3 grid of 3 codes has 27 grids: the product of the conditionals is a distribution over them."""
    grids = torch.tensor(list(itertools.product(range(3), repeat=3))).reshape(27, 1, 3)
    for network in (priors.PixelCNN(3, (1, 3), channels=8), priors.CodeTransformer(3, (1, 3), channels=8)):
        log_p = network.double()(grids).log_softmax(1).gather(1, grids[:, None])[:, 0].sum((1, 2))  # (27,)
        assert math.isclose(log_p.exp().sum().item(), 1)


@pytest.mark.parametrize(
    "codes", [torch.zeros(2, 3, 4, dtype=torch.int64), torch.zeros(2, 12, dtype=torch.int64), torch.zeros(2, 4, 3)]
)
def test_another_grid_is_refused(network, codes):
    with pytest.raises(ValueError, match=r"wanted int64 \(B, 4, 3\)"):
        network(codes)


def test_labels_of_another_length_are_refused(network):
    with pytest.raises(ValueError, match=r"wanted \(2,\)"):
        network(codes_of(2), torch.zeros(3, dtype=torch.int64))


# ----------------------------------------------------------------------------------------------------------------------
# Sampling


def test_cached_logits_are_those_of_the_whole_grid(network):
    codes, labels, cache = codes_of(6), torch.tensor([0, 1, 2, 0, 1, 2]), {}
    whole = network(codes, labels)
    for place in range(12):
        at = network._logits_at(place, codes, network._label(codes, labels), cache)
        torch.testing.assert_close(at, whole[:, :, place // 3, place % 3])


@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("labelled, given", [(False, False), (True, False), (True, True)])
def test_cached_samples_are_the_plain_ones(network, temperature, labelled, given):
    known = torch.where(torch.rand(9, 4, 3, generator=seeded(5)) < 0.5, codes_of(9), -1) if given else None
    labels = torch.arange(9) % 3 if labelled else None
    plain, cached = (
        priors.sample(
            network, 9, labels=labels, temperature=temperature, known=known, generator=seeded(2), cached=cached
        )
        for cached in (False, True)
    )
    assert torch.equal(plain, cached)
    assert cached.shape == (9, 4, 3) and cached.min() >= 0 and cached.max() < 7
    if given:
        assert torch.equal(cached[known >= 0], known[known >= 0])


def test_samples_have_the_frequencies_of_the_product_of_conditionals():
    """All 16 grids of two places and four codes, with logits so large that the distribution is far from uniform."""
    grids = torch.tensor(list(itertools.product(range(4), repeat=2))).reshape(16, 1, 2)
    for network in (priors.PixelCNN(4, (1, 2), channels=8), priors.CodeTransformer(4, (1, 2), channels=8)):
        torch.manual_seed(0)
        for parameter in network.double().parameters():
            torch.nn.init.normal_(parameter, std=0.4)
        p = network(grids).log_softmax(1).gather(1, grids[:, None])[:, 0].sum((1, 2)).exp().detach().numpy()  # (16,)
        drawn = priors.sample(network, 20_000, generator=seeded())  # (20000, 1, 2)
        observed = np.bincount((4 * drawn[:, 0, 0] + drawn[:, 0, 1]).numpy(), minlength=16)
        enough = p * 20_000 > 5
        assert enough.sum() > 6
        assert np.abs(observed / 20_000 - p).max() < 5 * np.sqrt(0.25 / 20_000)
        rest = [observed[~enough].sum()], [20_000 * p[~enough].sum()]
        if rest[1][0] > 5:
            assert chisquare([*observed[enough], *rest[0]], [*(20_000 * p[enough]), *rest[1]]).pvalue > 1e-4


def test_what_comes_later_is_not_heard(network):
    """Known codes at the end change nothing before them: the order is part of the model, as lesson 14 shows."""
    known = torch.full((4, 4, 3), -1)
    ends = []
    for code in (0, 5):
        known[:, 2:] = code
        ends.append(priors.sample(network, 4, known=known, generator=seeded(1))[:, :2])
    assert torch.equal(*ends)


def test_sampling_leaves_the_network_as_it_was_and_uses_no_gradient(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    codes = priors.sample(network, 2, generator=seeded())
    assert network.training and not codes.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "known", [torch.zeros(2, 3, 4, dtype=torch.int64), torch.zeros(2, 4, 3), torch.full((2, 4, 3), 7)]
)
def test_known_codes_that_cannot_be_are_refused(network, known):
    with pytest.raises(ValueError, match="codes below 7, and -1 where"):
        priors.sample(network, 2, known=known)
