"""course_lib.quantize against independent oracles: NumPy loops in float64, cases worked by hand, numerical gradients,
scikit-learn's k-means, and the layer of the vector-quantize-pytorch library."""

import ast
import copy
import inspect
import io
import itertools
import math
import pickle
import re
import sys

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from torch.autograd import gradcheck
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from vector_quantize_pytorch import VectorQuantize

from course_lib import guards, quantize, ranks, search
from course_lib.quantize import (
    VectorQuantizer,
    VectorQuantizerEMA,
    codebook_loss,
    codebook_usage,
    commitment_loss,
    ema_update,
    flatten_latents,
    kmeans_init,
    look_up,
    nearest_codes,
    pairwise_distances,
    perplexity,
    restart_dead_codes,
    straight_through,
    unflatten_latents,
)

# ----------------------------------------------------------------------------------------------------------------------
# What the tests draw

few = st.integers(1, 7)
seeds = st.integers(0, 10**6)
# (B, D, *S) with 0 to 3 spatial axes; odd sizes, a single vector and D = 1 among them
latent_shapes = st.tuples(st.integers(1, 4), st.integers(1, 5), st.lists(st.integers(1, 5), max_size=3)).map(
    lambda drawn: (drawn[0], drawn[1], *drawn[2])
)
both_layers = pytest.mark.parametrize("layer_class", [VectorQuantizer, VectorQuantizerEMA])
both_losses = pytest.mark.parametrize("loss_function", [codebook_loss, commitment_loss])
both_axes = pytest.mark.parametrize("channel_last", [False, True])


def over(examples=20, **strategies):
    """`given`, the same examples in every run."""

    def decorate(test):
        same_every_time = settings(max_examples=examples, deadline=None, derandomize=True, database=None)
        return same_every_time(given(**strategies)(test))

    return decorate


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64).to(dtype)


def integers(low, high, *shape, seed=0):
    """int64 in low..high, both ends included."""
    return torch.randint(low, high + 1, shape, generator=seeded(seed))


def on_a_grid(*shape, offset, seed=0):
    """float32 vectors up to 1 away from `offset`, in steps of 1/64: exact in float32 up to offsets of 1e5."""
    return (integers(-64, 64, *shape, seed=seed).double() / 64 + offset).float()


def blobs(centres, rows_each, seed=0, width=0.1):
    """(len(centres) * rows_each, D): well separated clusters, shuffled."""
    centres = torch.tensor(centres, dtype=torch.float64).repeat_interleave(rows_each, dim=0)
    rows = centres + width * normal(*centres.shape, seed=seed)
    return rows[torch.randperm(len(rows), generator=seeded(seed))]


# ----------------------------------------------------------------------------------------------------------------------
# The oracles: loops, in float64


def array(tensor):
    return tensor.detach().to(torch.float64).numpy()


def loop_flatten(latents):
    batch, dim, *spatial = latents.shape
    return np.array([latents[(b, slice(None), *place)] for b in range(batch) for place in np.ndindex(*spatial)])


def loop_distances(flat, codebook):
    return np.array([[sum((a - b) ** 2 for a, b in zip(x, e, strict=True)) for e in codebook] for x in flat])


def loop_nearest(flat, codebook):
    codes = []
    for row in loop_distances(flat, codebook):
        best = 0
        for code, distance in enumerate(row):
            if distance < row[best]:
                best = code
        codes.append(best)
    return np.array(codes)


def loop_mean_square(a, b):
    differences = [(x - y) ** 2 for x, y in zip(a.ravel(), b.ravel(), strict=True)]
    return sum(differences) / len(differences)


def loop_ema(cluster_size, embed_sum, flat, codes, decay, eps):
    counts, sums = np.zeros_like(cluster_size), np.zeros_like(embed_sum)
    for row, code in zip(flat, codes, strict=True):
        counts[code] += 1
        sums[code] += row
    cluster_size = decay * cluster_size + (1 - decay) * counts
    embed_sum = decay * embed_sum + (1 - decay) * sums
    total, codebook = sum(cluster_size), np.zeros_like(embed_sum)
    for code in range(len(cluster_size)):
        smoothed = (cluster_size[code] + eps) / (total + len(cluster_size) * eps) * total
        codebook[code] = embed_sum[code] / smoothed if smoothed > 0 else 0
    return cluster_size, embed_sum, codebook


def loop_lloyd(flat, codebook, iterations):
    codebook, codes = codebook.copy(), loop_nearest(flat, codebook)
    for _ in range(iterations):
        codes = loop_nearest(flat, codebook)
        for code in set(codes.tolist()):
            codebook[code] = flat[codes == code].mean(axis=0)
    return codebook, np.array([(codes == code).sum() for code in range(len(codebook))])


def inertia(flat, codebook):
    return float(pairwise_distances(flat, codebook).min(dim=1).values.sum())


def close(ours, theirs, rtol=1e-10, atol=1e-12):
    np.testing.assert_allclose(array(ours) if torch.is_tensor(ours) else ours, theirs, rtol=rtol, atol=atol)


def equal_states(before, after):
    return before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def state_of(layer):
    return {name: value.clone() for name, value in layer.state_dict().items()}


# ----------------------------------------------------------------------------------------------------------------------
# The public names


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("flatten_latents", ["latents"]),
        ("unflatten_latents", ["flat", "shape"]),
        ("pairwise_distances", ["flat", "codebook"]),
        ("nearest_codes", ["flat", "codebook"]),
        ("look_up", ["codes", "codebook"]),
        ("straight_through", ["latents", "quantized"]),
        ("codebook_loss", ["latents", "quantized"]),
        ("commitment_loss", ["latents", "quantized"]),
        ("ema_update", ["cluster_size", "embed_sum", "flat", "codes", "decay", "eps=1e-05"]),
        ("perplexity", ["codes", "codebook_size"]),
        ("codebook_usage", ["codes", "codebook_size"]),
        ("kmeans_init", ["flat", "codebook_size", "iterations=10", "generator=None"]),
        ("restart_dead_codes", ["codebook", "cluster_size", "embed_sum", "flat", "threshold", "generator=None"]),
        ("VectorQuantizer", ["dim", "codebook_size", "*commitment_weight=0.25", "*channel_last=False"]),
        (
            "VectorQuantizerEMA",
            ["dim", "codebook_size", "*decay=0.99", "*eps=1e-05", "*commitment_weight=0.25", "*kmeans_init=False"]
            + ["*dead_code_threshold=0.0", "*channel_last=False"],
        ),
    ],
)
def test_names_order_and_defaults_of_the_parameters(name, parameters):
    found = []
    for parameter in inspect.signature(getattr(quantize, name)).parameters.values():
        star = "*" if parameter.kind is parameter.KEYWORD_ONLY else ""
        default = "" if parameter.default is parameter.empty else f"={parameter.default}"
        found.append(f"{star}{parameter.name}{default}")
    assert found == parameters


def test_who_copies_the_module_and_its_three_neighbours_needs_torch_alone():
    imported = set()
    for module in (quantize, guards, ranks, search):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module == "course_lib":
                imported |= {f"course_lib.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
    neighbours = {"course_lib.guards", "course_lib.ranks", "course_lib.search"}
    assert imported - set(sys.stdlib_module_names) == {"torch"} | neighbours


# ----------------------------------------------------------------------------------------------------------------------
# Input is looked at once, and in words

CALLS = {
    "flatten_latents": {"latents": torch.zeros(2, 3)},
    "unflatten_latents": {"flat": torch.zeros(2, 3), "shape": (2, 3)},
    "pairwise_distances": {"flat": torch.zeros(2, 3), "codebook": torch.zeros(4, 3)},
    "nearest_codes": {"flat": torch.zeros(2, 3), "codebook": torch.zeros(4, 3)},
    "look_up": {"codes": torch.tensor([0, 1]), "codebook": torch.zeros(4, 3)},
    "straight_through": {"latents": torch.zeros(2, 3), "quantized": torch.zeros(2, 3)},
    "codebook_loss": {"latents": torch.zeros(2, 3), "quantized": torch.zeros(2, 3)},
    "commitment_loss": {"latents": torch.zeros(2, 3), "quantized": torch.zeros(2, 3)},
    "ema_update": {
        "cluster_size": torch.ones(4), "embed_sum": torch.ones(4, 3), "flat": torch.zeros(2, 3),
        "codes": torch.tensor([0, 1]), "decay": 0.5,
    },
    "perplexity": {"codes": torch.tensor([0, 1]), "codebook_size": 4},
    "codebook_usage": {"codes": torch.tensor([0, 1]), "codebook_size": 4},
    "kmeans_init": {"flat": torch.zeros(2, 3), "codebook_size": 4},
    "restart_dead_codes": {
        "codebook": torch.zeros(4, 3), "cluster_size": torch.ones(4), "embed_sum": torch.ones(4, 3),
        "flat": torch.zeros(2, 3), "threshold": 0.5,
    },
}  # fmt: skip


def no_tensors_of(tensor):
    return tensor.numpy(), tensor.tolist(), None, "tensor", 3, torch.nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("name", "argument"),
    [(name, key) for name, call in CALLS.items() for key, value in call.items() if torch.is_tensor(value)],
)
def test_what_is_no_tensor_is_refused_in_words(name, argument):
    call = CALLS[name]
    getattr(quantize, name)(**call)
    for value in no_tensors_of(call[argument]):
        with pytest.raises(TypeError, match=f"^{argument} is of type {type(value).__name__}; wanted a tensor$"):
            getattr(quantize, name)(**call | {argument: value})


@both_layers
def test_a_layer_refuses_what_is_no_tensor_in_words(layer_class):
    layer = layer_class(3, 4)
    for value in no_tensors_of(torch.zeros(2, 3)):
        with pytest.raises(TypeError, match=f"^latents is of type {type(value).__name__}; wanted a tensor$"):
            layer(value)


@pytest.mark.parametrize("shape", [6, None, "23", torch.zeros(2, 3)])
def test_unflatten_refuses_what_is_no_shape_in_words(shape):
    with pytest.raises(TypeError, match=f"^shape is of type {type(shape).__name__}; wanted the original"):
        unflatten_latents(torch.zeros(2, 3), shape)


class HostReads(TorchDispatchMode):
    """Counts what waits for the device to look at a value: `if tensor`, `float(tensor)`, sizes that depend on one."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("layer_class", "options", "reads"),
    [
        (VectorQuantizer, {}, 2),  # finite? which rows are hard to tell?
        (VectorQuantizerEMA, {}, 4),  # and: initialised? dead codes?
        (VectorQuantizerEMA, {"dead_code_threshold": 100.0}, 5),  # and: how many are they?
    ],
)
def test_a_training_step_reads_few_values_back(layer_class, options, reads):
    layer, latents = make(layer_class, 4, 8, **options), normal(5, 4, 7).requires_grad_()
    with HostReads() as host:
        quantized, _, loss = layer(latents)
        (quantized.sum() + loss).backward()
    assert host.count == reads


def test_the_first_step_with_kmeans_looks_at_the_latents_once_too():
    layer, latents = make(VectorQuantizerEMA, 4, 8, kmeans_init=True), normal(5, 4, 7)
    with HostReads() as host:
        layer(latents)
    assert host.count == 4 + 10  # which rows are hard to tell, in each of ten iterations


# ----------------------------------------------------------------------------------------------------------------------
# flatten_latents, unflatten_latents


@over(shape=latent_shapes, seed=seeds)
def test_flatten_gives_the_vectors_in_row_major_order(shape, seed):
    latents = normal(*shape, seed=seed)
    np.testing.assert_array_equal(array(flatten_latents(latents)), loop_flatten(array(latents)))


def test_flatten_by_hand():
    latents = torch.tensor([[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]])  # (1, 2, 2, 2)
    assert flatten_latents(latents).tolist() == [[1, 5], [2, 6], [3, 7], [4, 8]]
    assert flatten_latents(torch.tensor([[1, 2, 3], [4, 5, 6]])).tolist() == [[1, 2, 3], [4, 5, 6]]


@over(shape=latent_shapes, seed=seeds)
def test_unflatten_puts_every_vector_back(shape, seed):
    latents = normal(*shape, seed=seed)
    back = unflatten_latents(flatten_latents(latents), latents.shape)
    assert back.shape == latents.shape and torch.equal(back, latents)


@over(shape=latent_shapes, seed=seeds)
def test_unflatten_places_the_rows_as_the_loop_reads_them(shape, seed):
    flat = normal(math.prod(shape) // shape[1], shape[1], seed=seed)
    for wanted in (tuple(shape), torch.Size(shape), list(shape)):
        np.testing.assert_array_equal(loop_flatten(array(unflatten_latents(flat, wanted))), array(flat))


def test_flatten_takes_latents_that_are_not_contiguous():
    whole = normal(4, 6, 5, 3)
    for latents in (whole.movedim(-1, 1), whole[::2, 1::2], whole.transpose(2, 3), whole[:1].expand(3, 6, 5, 3)):
        assert not latents.is_contiguous()
        np.testing.assert_array_equal(array(flatten_latents(latents)), loop_flatten(array(latents)))
        assert torch.equal(unflatten_latents(flatten_latents(latents), latents.shape), latents)


def test_unflatten_takes_rows_that_are_not_contiguous():
    flat = normal(3, 12).t()  # (12, 3)
    assert torch.equal(unflatten_latents(flat, (2, 3, 2, 3)), unflatten_latents(flat.contiguous(), (2, 3, 2, 3)))


@over(shape=latent_shapes, seed=seeds)
def test_the_gradient_goes_there_and_back(shape, seed):
    latents = normal(*shape, seed=seed).requires_grad_()
    weights = normal(*shape, seed=seed + 1)
    (unflatten_latents(2 * flatten_latents(latents), shape) * weights).sum().backward()
    assert torch.equal(latents.grad, 2 * weights)
    (gradient,) = torch.autograd.grad((flatten_latents(latents) * flatten_latents(weights)).sum(), latents)
    assert torch.equal(gradient, weights)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64])
def test_flatten_and_unflatten_keep_the_dtype(dtype):
    flat = flatten_latents(torch.ones(2, 3, 4, dtype=dtype))
    assert flat.dtype == unflatten_latents(flat, (2, 3, 4)).dtype == dtype


@pytest.mark.parametrize("shape", [(), (5,)])
def test_flatten_rejects_fewer_than_two_axes(shape):
    with pytest.raises(ValueError, match=re.escape(f"{shape}") + r".*\(B, D, \*S\)"):
        flatten_latents(torch.zeros(shape))


def test_flatten_rejects_vectors_of_dimension_0():
    with pytest.raises(ValueError, match=r"\(3, 0, 2\)"):
        flatten_latents(torch.zeros(3, 0, 2))


@pytest.mark.parametrize(
    ("flat_shape", "shape", "wanted"),
    [
        ((7, 3), (2, 3, 4), (8, 3)),
        ((8, 4), (2, 3, 4), (8, 3)),
        ((3, 8), (2, 3, 4), (8, 3)),
        ((24,), (2, 3, 4), (8, 3)),
        ((2, 4, 3), (2, 3, 4), (8, 3)),
        ((3, 2), (2, 3), (2, 3)),
    ],
)
def test_unflatten_rejects_rows_that_do_not_fit(flat_shape, shape, wanted):
    with pytest.raises(ValueError, match=re.escape(f"{flat_shape}") + ".*" + re.escape(f"{wanted}")):
        unflatten_latents(torch.zeros(flat_shape), shape)


@pytest.mark.parametrize("shape", [(), (3,)])
def test_unflatten_rejects_a_shape_of_fewer_than_two_axes(shape):
    with pytest.raises(ValueError, match=re.escape(f"{shape}") + r".*\(B, D, \*S\)"):
        unflatten_latents(torch.zeros(1, 3), shape)


# ----------------------------------------------------------------------------------------------------------------------
# pairwise_distances


@over(rows=st.integers(1, 40), size=st.integers(1, 40), dim=few, seed=seeds)
def test_distances_equal_the_loop(rows, size, dim, seed):
    flat, codebook = normal(rows, dim, seed=seed), normal(size, dim, seed=seed + 1)
    distances = pairwise_distances(flat, codebook)
    assert distances.shape == (rows, size)
    close(distances, loop_distances(array(flat), array(codebook)))


def test_distances_by_hand():
    flat, codebook = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0], [3.0, 0.0], [-3.0, -4.0]])
    distances = pairwise_distances(flat, codebook)
    assert distances.tolist() == [[0, 9, 25], [25, 16, 100]]


@pytest.mark.parametrize("offset", [1e3, 1e4, 1e5, -1e5])
def test_distances_keep_their_digits_far_from_the_origin(offset):
    flat, codebook = on_a_grid(60, 5, offset=offset), on_a_grid(40, 5, offset=offset, seed=1)
    wanted = loop_distances(array(flat), array(codebook))
    close(pairwise_distances(flat, codebook), wanted, rtol=1e-5, atol=0)
    chosen = nearest_codes(flat, codebook)
    np.testing.assert_allclose(np.take_along_axis(wanted, array(chosen).astype(int)[:, None], 1)[:, 0], wanted.min(1))


@pytest.mark.parametrize("offset", [1e3, 1e5])
def test_distances_keep_their_digits_on_both_sides_of_the_origin(offset):
    flat = torch.cat([on_a_grid(30, 3, offset=offset), on_a_grid(30, 3, offset=-offset, seed=1)])
    codebook = torch.cat([on_a_grid(20, 3, offset=-offset, seed=2), on_a_grid(20, 3, offset=offset, seed=3)])
    wanted = loop_distances(array(flat), array(codebook))
    close(pairwise_distances(flat, codebook), wanted, rtol=1e-5, atol=0)
    assert nearest_codes(flat, codebook).tolist() == wanted.argmin(1).tolist()


@pytest.mark.parametrize("offset", [0, 1, 1e4, 1e8])
def test_distances_are_never_negative_and_0_to_oneself(offset):
    flat = normal(50, 7, dtype=torch.float32) + offset
    distances = pairwise_distances(flat, flat)
    assert (distances >= 0).all()
    assert (distances.diagonal() == 0).all()
    assert torch.equal(distances, distances.T)


@over(rows=few, size=few, dim=few, seed=seeds)
def test_the_gradient_of_distances_is_twice_the_difference(rows, size, dim, seed):
    flat, codebook = normal(rows, dim, seed=seed), normal(size, dim, seed=seed + 1)
    codebook[0] = flat[-1]  # they coincide: gradient 0, never NaN
    weights = normal(rows, size, seed=seed + 2)
    flat.requires_grad_(), codebook.requires_grad_()
    (pairwise_distances(flat, codebook) * weights).sum().backward()
    x, e, w = array(flat), array(codebook), array(weights)
    close(flat.grad, [sum(w[n, k] * 2 * (x[n] - e[k]) for k in range(size)) for n in range(rows)])
    close(codebook.grad, [sum(w[n, k] * 2 * (e[k] - x[n]) for n in range(rows)) for k in range(size)])


def test_the_gradient_of_distances_numerically_even_where_points_coincide():
    flat = normal(5, 3).requires_grad_()
    codebook = torch.cat([normal(3, 3, seed=1), flat.detach()[1:3]]).requires_grad_()
    assert gradcheck(pairwise_distances, (flat, codebook))


def test_the_gradient_of_distances_in_float32_far_from_the_origin():
    flat, codebook = on_a_grid(30, 3, offset=1e4).requires_grad_(), on_a_grid(28, 3, offset=1e4, seed=1)
    pairwise_distances(flat, codebook).sum().backward()
    x, e = array(flat), array(codebook)
    close(flat.grad, [(2 * (row - e)).sum(0) for row in x], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("one", "other", "result"),
    [
        (torch.bfloat16, torch.bfloat16, torch.float32),
        (torch.float16, torch.float16, torch.float32),
        (torch.float16, torch.bfloat16, torch.float32),
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float32, torch.float16, torch.float32),
        (torch.float32, torch.float64, torch.float64),
        (torch.float64, torch.bfloat16, torch.float64),
    ],
)
def test_distances_of_other_precisions_are_computed_in_float32_or_better(one, other, result):
    flat = (normal(9, 4) + 30).to(one).requires_grad_()
    codebook = (normal(6, 4, seed=1) + 30).to(other).requires_grad_()
    distances = pairwise_distances(flat, codebook)
    assert distances.dtype == result
    close(distances, loop_distances(array(flat), array(codebook)), rtol=1e-5)
    assert nearest_codes(flat, codebook).tolist() == loop_nearest(array(flat), array(codebook)).tolist()
    distances.sum().backward()
    assert flat.grad.dtype == one and codebook.grad.dtype == other


both_measures = pytest.mark.parametrize("measure", [pairwise_distances, nearest_codes])


@both_measures
@pytest.mark.parametrize(
    ("flat", "codebook", "error", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(4, 5), ValueError, "dimension 3.* 5"),
        (torch.zeros(3), torch.zeros(4, 3), ValueError, r"flat.*\(3,\)"),
        (torch.zeros(2, 3, 4), torch.zeros(5, 4), ValueError, r"flat.*\(2, 3, 4\)"),
        (torch.zeros(2, 3), torch.zeros(1, 4, 3), ValueError, r"codebook.*\(1, 4, 3\)"),
        (torch.zeros(0, 3), torch.zeros(4, 3), ValueError, r"flat.*\(0, 3\)"),
        (torch.zeros(2, 3), torch.zeros(0, 3), ValueError, r"codebook.*\(0, 3\)"),
        (torch.zeros(2, 0), torch.zeros(4, 0), ValueError, r"flat.*\(2, 0\)"),
        (torch.zeros(2, 3).long(), torch.zeros(4, 3), TypeError, "flat.*int64.*floating"),
        (torch.zeros(2, 3), torch.zeros(4, 3).int(), TypeError, "codebook.*int32.*floating"),
        (torch.tensor([[0.0, 1.0], [2.0, math.nan]]), torch.zeros(4, 2), ValueError, r"flat has 1 NaN.*\(1, 1\)"),
        (torch.zeros(2, 2), torch.tensor([[math.inf, -math.inf]]), ValueError, r"codebook has 2 .*\(0, 0\)"),
    ],
)
def test_distances_reject_what_does_not_fit(measure, flat, codebook, error, message):
    with pytest.raises(error, match=message):
        measure(flat, codebook)


# ----------------------------------------------------------------------------------------------------------------------
# nearest_codes


@over(rows=st.integers(1, 40), size=st.integers(1, 40), dim=few, seed=seeds)
def test_nearest_codes_equal_the_loop(rows, size, dim, seed):
    flat, codebook = normal(rows, dim, seed=seed), normal(size, dim, seed=seed + 1)
    codes = nearest_codes(flat, codebook)
    assert codes.dtype == torch.int64 and codes.shape == (rows,)
    assert codes.tolist() == loop_nearest(array(flat), array(codebook)).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@over(rows=few, size=st.integers(2, 30), dim=st.integers(1, 3), seed=seeds)
def test_ties_go_to_the_lowest_index(dtype, rows, size, dim, seed):
    flat = integers(-2, 2, rows, dim, seed=seed).to(dtype)
    codebook = integers(-2, 2, size, dim, seed=seed + 1).to(dtype)
    codebook[-1] = codebook[0]
    assert nearest_codes(flat, codebook).tolist() == loop_nearest(array(flat), array(codebook)).tolist()


def test_ties_by_hand():
    middle = torch.tensor([[0.5, 0.0]])
    assert nearest_codes(middle, torch.tensor([[1.0, 0.0], [0.0, 0.0]])).tolist() == [0]
    assert nearest_codes(middle, torch.tensor([[9.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])).tolist() == [1]
    assert nearest_codes(normal(5, 3), torch.ones(1000, 3, dtype=torch.float64)).tolist() == [0] * 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [2, 13, 63, 64, 65, 100, 512, 996, 1000, 1024, 1027])
def test_equal_codes_are_equally_far_in_every_column(size, dtype):
    """Products round differently in the last columns, by processor: of a code and its copy, the first is taken."""
    flat, first = normal(40, 7).to(dtype), normal(size // 2, 7, seed=1).to(dtype)
    copies = first.repeat(3, 1)[:size]
    distances = (flat.double().unsqueeze(1) - first.double()).square().sum(dim=2)
    assert torch.equal(nearest_codes(flat, copies), distances.argmin(dim=1))


def test_nearest_codes_have_no_graph():
    codes = nearest_codes(normal(4, 2).requires_grad_(), normal(3, 2, seed=1).requires_grad_())
    assert not codes.requires_grad


def test_nearest_codes_tell_apart_what_only_float64_can():
    codebook = torch.tensor([[1.0], [1 - 1e-12]], dtype=torch.float64)
    assert nearest_codes(torch.zeros(1, 1, dtype=torch.float64), codebook).tolist() == [1]


def test_nearest_codes_of_the_codebook_itself():
    codebook = normal(17, 3)
    assert nearest_codes(codebook, codebook).tolist() == list(range(17))


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few rows, so that small tests go through several, the last of them not full."""
    monkeypatch.setitem(search.SCORES_AT_ONCE, "cpu", 300)
    monkeypatch.setattr(search, "LEAST_ROWS", 1)


# 63 to 129: just below, at and above whole groups of 64 columns, which take another way
@pytest.mark.parametrize("size", [1, 63, 64, 65, 128, 129, 512])
@pytest.mark.parametrize("rows", [1, 4, 5, 23])
def test_nearest_codes_in_blocks_equal_the_loop(small_blocks, rows, size):
    flat, codebook = normal(rows, 3, seed=rows), normal(size, 3, seed=size)
    assert nearest_codes(flat, codebook).tolist() == loop_nearest(array(flat), array(codebook)).tolist()


@pytest.mark.parametrize("size", [64, 100, 192])
def test_ties_go_to_the_lowest_index_across_blocks_and_groups(small_blocks, size):
    flat, codebook = integers(-2, 2, 50, 2).float(), integers(-2, 2, size, 2, seed=1).float()
    assert nearest_codes(flat, codebook).tolist() == loop_nearest(array(flat), array(codebook)).tolist()
    assert nearest_codes(flat, codebook[:1].expand(size, 2)).tolist() == [0] * 50


@pytest.mark.parametrize("offset", [0, 1, 10, 30, 100, 1e3, 1e5])
@pytest.mark.parametrize("size", [64, 100])
def test_the_chosen_code_is_hardly_farther_than_the_nearest(small_blocks, offset, size):
    both_sides = torch.tensor([1, -1]).repeat_interleave(40)[:, None]
    flat = both_sides * on_a_grid(80, 16, offset=offset)
    codebook = on_a_grid(size, 16, offset=offset, seed=1)
    codebook[::2] *= -1
    distances = loop_distances(array(flat), array(codebook))
    chosen = distances[np.arange(80), nearest_codes(flat, codebook)]
    assert (chosen <= 1.001 * distances.min(axis=1)).all()
    if offset > 100:  # the product alone has no digits left: measured by differences, and so exact
        assert (chosen == distances.min(axis=1)).all()


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1e12, 1e18])
def test_nearest_codes_of_very_small_and_very_large_vectors(scale):
    flat, codebook = normal(20, 3, dtype=torch.float32), normal(64, 3, seed=1, dtype=torch.float32)
    assert torch.equal(nearest_codes(scale * flat, scale * codebook), nearest_codes(flat, codebook))


def test_nearest_codes_where_squares_overflow():
    flat = 1e25 * torch.tensor([[1.0, 2.0], [-3.0, 1.0]])
    assert nearest_codes(flat, torch.cat([-flat, flat])).tolist() == [2, 3]


def test_nearest_codes_hold_a_block_of_scores_and_never_all(small_blocks):
    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            results = function(*args, **(kwargs or {}))
            for result in results if isinstance(results, (tuple, list)) else (results,):
                if isinstance(result, torch.Tensor):
                    self.numel = max(self.numel, result.numel())
            return results

    flat, codebook = normal(500, 2), normal(128, 2, seed=1)
    with Largest() as largest:
        nearest_codes(flat, codebook)
        nearest_codes(flat + 1e9, codebook + 1e9)  # every row is measured by differences
    assert 300 // 128 * 128 <= largest.numel <= 500 * 3  # (N, D + 1) at the most, not (N, K) = 64,000


# ----------------------------------------------------------------------------------------------------------------------
# look_up


@over(leading=st.lists(st.integers(1, 4), max_size=3), size=few, dim=few, seed=seeds)
def test_look_up_takes_rows_for_codes_of_any_shape(leading, size, dim, seed):
    codes, codebook = integers(0, size - 1, *leading, seed=seed), normal(size, dim, seed=seed)
    vectors = look_up(codes, codebook)
    assert vectors.shape == (*leading, dim) and vectors.dtype == codebook.dtype
    for place in np.ndindex(*leading):
        assert vectors[place].tolist() == codebook[codes[place].item()].tolist()


@over(rows=st.integers(1, 12), size=few, dim=few, seed=seeds)
def test_the_gradient_of_look_up_sums_over_repeats_and_spares_the_rest(rows, size, dim, seed):
    codes, codebook = integers(0, size - 1, rows, seed=seed), normal(size, dim, seed=seed).requires_grad_()
    weights = normal(rows, dim, seed=seed + 1)
    (look_up(codes, codebook) * weights).sum().backward()
    wanted = np.zeros((size, dim))
    for code, weight in zip(codes.tolist(), array(weights), strict=True):
        wanted[code] += weight
    close(codebook.grad, wanted)
    unused = [code for code in range(size) if code not in codes.tolist()]
    assert (codebook.grad[unused] == 0).all()


def test_the_gradient_of_look_up_numerically():
    codes = torch.tensor([[0, 2], [2, 2]])
    assert gradcheck(lambda codebook: look_up(codes, codebook), (normal(4, 3).requires_grad_(),))


def test_look_up_returns_a_copy():
    codebook = normal(3, 2)
    vectors = look_up(torch.tensor([1, 1]), codebook)
    wanted = vectors.clone()
    codebook.zero_()
    assert torch.equal(vectors, wanted)


@pytest.mark.parametrize(
    ("codes", "error", "message"),
    [
        (torch.tensor([0, 4]), ValueError, "from 0 to 4.*0 to 3"),
        (torch.tensor([[-1], [2]]), ValueError, "from -1 to 2.*0 to 3"),
        (torch.tensor([0, 1], dtype=torch.int32), TypeError, "int32.*int64"),
        (torch.tensor([0.0, 1.0]), TypeError, "float32.*int64"),
        (torch.zeros(0, dtype=torch.int64), ValueError, r"\(0,\).*at least one"),
    ],
)
def test_look_up_rejects_codes_that_are_not_codes(codes, error, message):
    with pytest.raises(error, match=message):
        look_up(codes, torch.zeros(4, 2))


@pytest.mark.parametrize("shape", [(4,), (1, 4, 2)])
def test_look_up_rejects_a_codebook_without_two_axes(shape):
    with pytest.raises(ValueError, match=re.escape(f"{shape}")):
        look_up(torch.tensor([0]), torch.zeros(shape))


# ----------------------------------------------------------------------------------------------------------------------
# straight_through


@pytest.mark.parametrize("offset", [0, 1, 1e4, 1e30])
@over(shape=latent_shapes, seed=seeds)
def test_straight_through_has_the_value_of_quantized_to_the_last_bit(offset, shape, seed):
    latents = normal(*shape, seed=seed, dtype=torch.float32) - offset
    quantized = normal(*shape, seed=seed + 1, dtype=torch.float32) + offset / 3
    assert torch.equal(straight_through(latents, quantized), quantized)


@over(shape=latent_shapes, seed=seeds)
def test_straight_through_has_the_gradient_of_latents(shape, seed):
    latents, quantized = normal(*shape, seed=seed).requires_grad_(), normal(*shape, seed=seed + 1).requires_grad_()
    weights = normal(*shape, seed=seed + 2)
    (straight_through(latents, quantized) * weights).sum().backward()
    assert torch.equal(latents.grad, weights)
    assert quantized.grad is None


def test_straight_through_carries_a_nonlinear_gradient_taken_at_quantized():
    latents, quantized = normal(6).requires_grad_(), normal(6, seed=1)
    (straight_through(latents, quantized) ** 3).sum().backward()
    close(latents.grad, 3 * array(quantized) ** 2)


def test_straight_through_needs_no_gradient():
    assert not straight_through(normal(2, 3), normal(2, 3, seed=1).requires_grad_()).requires_grad


@pytest.mark.parametrize(("one", "other"), [((2, 3), (3, 2)), ((2, 3), (1, 3)), ((2, 3), (3,)), ((2, 3, 1), (2, 3))])
@pytest.mark.parametrize("function", [straight_through, codebook_loss, commitment_loss])
def test_shapes_that_differ_are_rejected_even_where_they_would_broadcast(function, one, other):
    with pytest.raises(ValueError, match=re.escape(f"{one}") + ".*" + re.escape(f"{other}")):
        function(torch.zeros(one), torch.zeros(other))


# ----------------------------------------------------------------------------------------------------------------------
# codebook_loss, commitment_loss


@both_losses
@over(shape=latent_shapes, seed=seeds)
def test_losses_are_the_mean_over_all_elements(loss_function, shape, seed):
    latents, quantized = normal(*shape, seed=seed), normal(*shape, seed=seed + 1)
    loss = loss_function(latents, quantized)
    assert loss.shape == ()
    close(loss, loop_mean_square(array(latents), array(quantized)))


@both_losses
def test_losses_by_hand(loss_function):
    loss = loss_function(torch.zeros(1, 2), torch.tensor([[1.0, 2.0]]))
    assert loss.item() == 2.5  # the mean over D; the squared norm would be 5


@over(shape=latent_shapes, seed=seeds)
def test_the_codebook_loss_pulls_quantized_alone(shape, seed):
    latents, quantized = normal(*shape, seed=seed).requires_grad_(), normal(*shape, seed=seed + 1).requires_grad_()
    codebook_loss(latents, quantized).backward()
    assert latents.grad is None
    close(quantized.grad, 2 * (array(quantized) - array(latents)) / latents.numel())


@over(shape=latent_shapes, seed=seeds)
def test_the_commitment_loss_pulls_latents_alone(shape, seed):
    latents, quantized = normal(*shape, seed=seed).requires_grad_(), normal(*shape, seed=seed + 1).requires_grad_()
    commitment_loss(latents, quantized).backward()
    assert quantized.grad is None
    close(latents.grad, 2 * (array(latents) - array(quantized)) / latents.numel())


def test_the_gradients_of_the_losses_numerically():
    fixed = normal(3, 4, seed=1)
    assert gradcheck(lambda quantized: codebook_loss(fixed, quantized), (normal(3, 4).requires_grad_(),))
    assert gradcheck(lambda latents: commitment_loss(latents, fixed), (normal(3, 4).requires_grad_(),))


# ----------------------------------------------------------------------------------------------------------------------
# ema_update


def ema_state(size, dim, seed=0):
    return normal(size, seed=seed).abs() + 0.1, normal(size, dim, seed=seed + 1)


def test_ema_update_by_hand():
    cluster_size, embed_sum, codebook = ema_update(
        torch.tensor([1.0, 1.0]),
        torch.tensor([[0.0], [4.0]]),
        torch.tensor([[2.0], [4.0], [6.0]]),
        torch.tensor([0, 0, 1]),
        decay=0.5,
        eps=0.5,
    )
    assert cluster_size.tolist() == [1.5, 1.0]  # 1/2 [1, 1] + 1/2 [2, 1]
    assert embed_sum.tolist() == [[3.0], [5.0]]  # 1/2 [0, 4] + 1/2 [6, 6]
    close(codebook, [[3 / (2.0 / 3.5 * 2.5)], [5 / (1.5 / 3.5 * 2.5)]], rtol=1e-6)  # n = 2.5, n + K eps = 3.5


@over(
    examples=50,
    rows=st.integers(1, 12),
    size=few,
    dim=few,
    decay=st.sampled_from([0, 0.5, 0.8, 0.99]),
    eps=st.sampled_from([0, 1e-5, 0.3, 1e3]),
    seed=seeds,
)
def test_ema_update_equals_the_loop(rows, size, dim, decay, eps, seed):
    cluster_size, embed_sum = ema_state(size, dim, seed)
    flat, codes = normal(rows, dim, seed=seed + 2), integers(0, size - 1, rows, seed=seed)
    wanted = loop_ema(array(cluster_size), array(embed_sum), array(flat), codes.tolist(), decay, eps)
    for ours, theirs in zip(ema_update(cluster_size, embed_sum, flat, codes, decay, eps), wanted, strict=True):
        close(ours, theirs)


def test_ema_update_over_many_steps_equals_the_loop():
    state = ema_state(5, 3)
    theirs = tuple(map(array, state))
    for step in range(60):
        flat, codes = normal(7, 3, seed=step), integers(0, 3, 7, seed=step)  # code 4 is never used
        *state, codebook = ema_update(*state, flat, codes, 0.9, 0.01)
        *theirs, wanted = loop_ema(*theirs, array(flat), codes.tolist(), 0.9, 0.01)
    for ours, other in zip((*state, codebook), (*theirs, wanted), strict=True):
        close(ours, other)


def test_eps_is_1e_5_unless_told():
    arguments = (*ema_state(3, 2), normal(2, 2), torch.tensor([0, 0]), 0.0)
    assert torch.equal(ema_update(*arguments)[2], ema_update(*arguments, 1e-5)[2])
    assert not torch.equal(ema_update(*arguments)[2], ema_update(*arguments, 1.1e-5)[2])


def test_ema_update_leaves_its_inputs_alone_and_records_no_graph():
    inputs = (*ema_state(3, 2), normal(5, 2).requires_grad_(), torch.tensor([0, 1, 1, 0, 1]))
    before = [tensor.clone() for tensor in inputs]
    results = ema_update(*inputs, 0.7)
    assert not any(result.requires_grad for result in results)
    for result in results:
        result.fill_(-7)
    assert all(torch.equal(was, now) for was, now in zip(before, inputs, strict=True))


@over(size=few, decay=st.sampled_from([0, 0.5, 0.99]), eps=st.sampled_from([1e-5, 1.0, 1e3]), seed=seeds)
def test_smoothing_keeps_the_total_and_is_not_stored(size, decay, eps, seed):
    cluster_size, embed_sum = ema_state(size, 2, seed)
    flat, codes = normal(6, 2, seed=seed + 2), integers(0, size - 1, 6, seed=seed)
    new_size, new_sum, codebook = ema_update(cluster_size, embed_sum, flat, codes, decay, eps)
    used = torch.bincount(codes, minlength=size) > 0
    close(new_size, decay * array(cluster_size) + (1 - decay) * np.bincount(codes.numpy(), minlength=size))
    smoothed = array(new_sum[used] / codebook[used])[:, 0]
    close(smoothed, (array(new_size[used]) + eps) * array(new_size.sum() / (new_size.sum() + size * eps)))
    if used.all():
        close(smoothed.sum(), array(new_size.sum()))


def test_without_smoothing_an_unused_code_becomes_0_not_nan():
    ones, codes = torch.ones(3), torch.tensor([1, 1])
    cluster_size, embed_sum, codebook = ema_update(ones, torch.ones(3, 2), torch.ones(2, 2) * 6, codes, 0.0, 0.0)
    assert cluster_size.tolist() == [0, 2, 0] and embed_sum.tolist() == [[0, 0], [12, 12], [0, 0]]
    assert codebook.tolist() == [[0, 0], [6, 6], [0, 0]]


def test_without_smoothing_a_code_that_is_never_used_stays_finite():
    state, decay = (torch.ones(2), torch.ones(2, 1)), 0.5
    for step in range(300):
        *state, codebook = ema_update(*state, torch.ones(1, 1), torch.tensor([0]), decay, 0.0)
        assert torch.isfinite(codebook).all()
        if step < 100:
            assert codebook[1].item() == 1  # count and sum shrink together
    assert codebook[0].item() == 1


def test_a_large_eps_draws_all_counts_to_their_mean():
    cluster_size, embed_sum = torch.tensor([1.0, 3.0]), torch.tensor([[1.0], [3.0]])
    _, new_sum, codebook = ema_update(cluster_size, embed_sum, torch.ones(4, 1), torch.tensor([0, 1, 1, 1]), 0.5, 1e6)
    close(codebook, array(new_sum) / 2, rtol=1e-5)


@over(rows=st.integers(1, 30), size=few, dim=few, seed=seeds)
def test_decay_0_and_eps_to_0_is_one_lloyd_step_for_the_codes_in_use(rows, size, dim, seed):
    flat, old = normal(rows, dim, seed=seed), normal(size, dim, seed=seed + 1)
    codes = nearest_codes(flat, old)
    wanted, counts = loop_lloyd(array(flat), array(old), 1)
    _, _, codebook = ema_update(*ema_state(size, dim), flat, codes, 0, 1e-12)
    close(codebook[counts > 0], wanted[counts > 0], rtol=1e-8)


@pytest.mark.parametrize("flat_dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_ema_update_keeps_the_dtype_of_the_state(flat_dtype):
    flat = normal(6, 2).to(flat_dtype)
    results = ema_update(torch.ones(3), torch.zeros(3, 2), flat, torch.tensor([0, 1, 1, 2, 2, 2]), 0.5)
    wanted = loop_ema(np.ones(3), np.zeros((3, 2)), array(flat), [0, 1, 1, 2, 2, 2], 0.5, 1e-5)
    for ours, theirs in zip(results, wanted, strict=True):
        assert ours.dtype == torch.float32
        close(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("offset", [1e3, 1e4, 1e5])
def test_ema_update_sums_many_rows_far_from_the_origin(offset):
    flat = on_a_grid(16384, 4, offset=offset)
    _, _, codebook = ema_update(torch.ones(1), torch.zeros(1, 4), flat, torch.zeros(16384, dtype=torch.int64), 0.0, 0.0)
    close(codebook[0], array(flat).mean(0), rtol=5e-7)


@pytest.mark.parametrize("decay", [-0.1, 1, 1.5, math.nan, math.inf])
def test_ema_update_rejects_a_decay_outside_0_to_1(decay):
    with pytest.raises(ValueError, match=f"decay is {decay}.*0 <= decay < 1"):
        ema_update(torch.ones(2), torch.ones(2, 1), torch.ones(1, 1), torch.tensor([0]), decay)


@pytest.mark.parametrize("eps", [-1e-5, math.nan, math.inf])
def test_ema_update_rejects_an_eps_below_0(eps):
    with pytest.raises(ValueError, match=f"eps is {eps}.*>= 0"):
        ema_update(torch.ones(2), torch.ones(2, 1), torch.ones(1, 1), torch.tensor([0]), 0.5, eps)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"cluster_size": torch.ones(4)}, ValueError, r"\(4,\).*\(3, 2\)"),
        ({"cluster_size": torch.ones(3, 1)}, ValueError, r"\(3, 1\).*\(3, 2\)"),
        ({"embed_sum": torch.ones(3)}, ValueError, r"\(3,\).*\(3,\)"),
        ({"embed_sum": torch.ones(2, 3)}, ValueError, r"\(3,\).*\(2, 3\)"),
        ({"flat": torch.ones(5, 3)}, ValueError, r"\(5, 3\).*\(N, 2\)"),
        ({"flat": torch.ones(4, 2)}, ValueError, r"\(4, 2\).*\(5,\)"),
        ({"flat": torch.ones(5, 2).long()}, TypeError, "int64.*floating"),
        ({"flat": torch.full((5, 2), math.nan)}, ValueError, "10 NaN"),
        ({"flat": torch.ones(0, 2), "codes": torch.zeros(0).long()}, ValueError, r"\(0, 2\)"),
        ({"codes": torch.zeros(5, 1).long()}, ValueError, r"\(5, 2\).*\(5, 1\)"),
        ({"codes": torch.full((5,), 3)}, ValueError, "from 3 to 3.*0 to 2"),
        ({"codes": torch.full((5,), -1)}, ValueError, "from -1 to -1.*0 to 2"),
        ({"codes": torch.zeros(5).int()}, TypeError, "int32.*int64"),
    ],
)
def test_ema_update_rejects_what_does_not_fit(changes, error, message):
    arguments = {"cluster_size": torch.ones(3), "embed_sum": torch.ones(3, 2), "flat": torch.ones(5, 2)}
    arguments |= {"codes": torch.zeros(5).long()} | changes
    with pytest.raises(error, match=message):
        ema_update(**arguments, decay=0.5)


# ----------------------------------------------------------------------------------------------------------------------
# perplexity, codebook_usage


@over(leading=st.lists(st.integers(1, 5), max_size=3), size=st.integers(1, 20), seed=seeds)
def test_perplexity_and_usage_equal_scipy_for_codes_of_any_shape(leading, size, seed):
    codes = integers(0, size - 1, *leading, seed=seed)
    counts = np.bincount(codes.flatten().numpy(), minlength=size)
    for result, wanted in (
        (perplexity(codes, size), np.exp(scipy.stats.entropy(counts))),
        (codebook_usage(codes, size), (counts > 0).mean()),
    ):
        assert result.shape == () and result.dtype == torch.float32
        close(result, wanted, rtol=1e-5)


def test_perplexity_and_usage_by_hand():
    codes = torch.tensor([[0, 0], [3, 3]])
    assert perplexity(codes, 4).item() == pytest.approx(2)
    assert codebook_usage(codes, 4).item() == 0.5
    codes = torch.tensor([1, 1, 1, 2])  # entropy of (3/4, 1/4)
    assert perplexity(codes, 10).item() == pytest.approx(4 / 3**0.75)
    assert codebook_usage(codes, 10).item() == pytest.approx(0.2)


@pytest.mark.parametrize("size", [1, 2, 7, 512, 8192])
def test_perplexity_is_k_where_all_codes_occur_equally_often_and_1_for_a_single_one(size):
    everyone, alone = torch.arange(size).repeat(3), torch.full((5,), size - 1)
    assert perplexity(everyone, size).item() == pytest.approx(size, rel=1e-5)
    assert codebook_usage(everyone, size).item() == 1
    assert perplexity(alone, size).item() == pytest.approx(1)
    assert codebook_usage(alone, size).item() == pytest.approx(1 / size)


@pytest.mark.parametrize("measure", [perplexity, codebook_usage])
@pytest.mark.parametrize(
    ("codes", "size", "error", "message"),
    [
        (torch.tensor([0, 4]), 4, ValueError, "from 0 to 4.*0 to 3"),
        (torch.tensor([-2, 1]), 4, ValueError, "from -2 to 1.*0 to 3"),
        (torch.tensor([0, 1]).int(), 4, TypeError, "int32.*int64"),
        (torch.tensor([0.0, 1.0]), 4, TypeError, "float32.*int64"),
        (torch.zeros(0, 3).long(), 4, ValueError, r"\(0, 3\).*at least one"),
        (torch.tensor([0]), 0, ValueError, "codebook_size is 0.*at least 1"),
        (torch.tensor([0]), 4.0, TypeError, "codebook_size is 4.0.*whole"),
    ],
)
def test_perplexity_and_usage_reject_what_does_not_fit(measure, codes, size, error, message):
    with pytest.raises(error, match=message):
        measure(codes, size)


# ----------------------------------------------------------------------------------------------------------------------
# kmeans_init


@over(examples=30, rows=st.integers(1, 30), size=few, dim=few, iterations=st.integers(0, 6), seed=seeds)
def test_kmeans_equals_a_loop_from_the_same_rows(rows, size, dim, iterations, seed):
    flat = normal(rows, dim, seed=seed)  # N < K among them
    drawn, _ = kmeans_init(flat, size, iterations=0, generator=seeded(seed))
    codebook, counts = kmeans_init(flat, size, iterations, seeded(seed))
    wanted, wanted_counts = loop_lloyd(array(flat), array(drawn), iterations)
    assert codebook.shape == (size, dim) and counts.shape == (size,) and counts.is_floating_point()
    close(codebook, wanted)
    assert counts.tolist() == wanted_counts.tolist()
    assert counts.sum() == rows


@over(rows=st.integers(1, 12), size=st.integers(1, 20), seed=seeds)
def test_kmeans_draws_every_row_before_any_row_twice(rows, size, seed):
    flat = torch.arange(rows, dtype=torch.float64).unsqueeze(1)
    drawn, counts = kmeans_init(flat, size, 0, seeded(seed))
    times = np.bincount(drawn[:, 0].long().numpy(), minlength=rows)
    assert set(times.tolist()) <= {size // rows, math.ceil(size / rows)}
    assert counts.sum() == rows and counts.count_nonzero() == min(rows, size)


def test_kmeans_draws_rows_at_random():
    flat = torch.arange(9.0).unsqueeze(1)
    firsts = {kmeans_init(flat, 3, 0, seeded(seed))[0][0].item() for seed in range(60)}
    assert len(firsts) == 9


@over(rows=st.integers(2, 25), size=few, iterations=st.integers(1, 5), seed=seeds)
def test_a_centroid_is_the_mean_of_the_rows_that_its_count_counts(rows, size, iterations, seed):
    flat = normal(rows, 2, seed=seed)
    before, _ = kmeans_init(flat, size, iterations - 1, seeded(seed))
    codebook, counts = kmeans_init(flat, size, iterations, seeded(seed))
    codes = nearest_codes(flat, before)
    for code in range(size):
        chosen = array(flat)[codes.numpy() == code]
        assert counts[code] == len(chosen)
        close(array(codebook[code]) * len(chosen), chosen.sum(axis=0))
        if len(chosen) == 0:
            assert torch.equal(codebook[code], before[code])


@pytest.mark.parametrize("seed", range(5))
def test_the_inertia_never_rises(seed):
    flat = normal(200, 3, seed=seed)
    course = [inertia(flat, kmeans_init(flat, 9, iterations, seeded(seed))[0]) for iterations in range(12)]
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in itertools.pairwise(course))
    assert course[-1] < 0.8 * course[0]


def test_kmeans_with_fewer_rows_than_codes():
    flat = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    codebook, counts = kmeans_init(flat, 5, generator=seeded(0))
    assert sorted(counts.tolist()) == [0, 0, 0, 1, 1]
    assert {tuple(row) for row in codebook.tolist()} == {(1, 2), (3, 4)}
    codebook, counts = kmeans_init(flat[:1], 3)
    assert codebook.tolist() == [[1, 2]] * 3 and counts.tolist() == [1, 0, 0]


def test_a_code_that_no_row_chooses_stays_where_it_is():
    flat = torch.tensor([[0.0], [0.0], [10.0]])
    codebook, counts = kmeans_init(flat, 3, generator=seeded(0))
    assert sorted(codebook[:, 0].tolist()) == [0, 0, 10]
    assert sorted(counts.tolist()) == [0, 1, 2]


def test_ten_iterations_unless_told():
    flat = normal(300, 2)
    results = {n: kmeans_init(flat, 20, n, seeded(3))[0] for n in (9, 10, 11)}
    unless_told, _ = kmeans_init(flat, 20, generator=seeded(3))
    assert torch.equal(unless_told, results[10])
    assert not torch.equal(unless_told, results[9]) and not torch.equal(unless_told, results[11])


def test_kmeans_repeats_itself_with_the_same_generator_alone():
    flat = normal(50, 3)
    state = torch.get_rng_state()
    first, again, other = (kmeans_init(flat, 4, 1, seeded(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)  # the global generator was not asked
    torch.manual_seed(5)
    unseeded = kmeans_init(flat, 4, 1)[0]
    torch.manual_seed(5)
    assert torch.equal(unseeded, kmeans_init(flat, 4, 1)[0])


@pytest.mark.parametrize("seed", [0, 1, 2, 4])  # no cluster runs empty in these; scikit-learn would move it
def test_kmeans_agrees_with_scikit_learn(seed):
    flat = blobs([[0, 0], [10, 0], [0, 10], [10, 10], [5, 20]], 30, seed)
    drawn, _ = kmeans_init(flat, 5, 0, seeded(seed))
    codebook, counts = kmeans_init(flat, 5, 40, seeded(seed))
    theirs = KMeans(5, init=array(drawn), n_init=1, algorithm="lloyd", tol=0).fit(array(flat))
    close(codebook, theirs.cluster_centers_, rtol=1e-8)
    assert nearest_codes(flat, codebook).tolist() == theirs.labels_.tolist()
    assert counts.tolist() == np.bincount(theirs.labels_, minlength=5).tolist()
    assert inertia(flat, codebook) == pytest.approx(theirs.inertia_)


def test_kmeans_leaves_its_input_alone_and_records_no_graph():
    flat = normal(9, 2).requires_grad_()
    before = flat.detach().clone()
    for iterations in (0, 2):
        codebook, counts = kmeans_init(flat, 3, iterations)
        assert not codebook.requires_grad and not counts.requires_grad
        codebook.fill_(-7)
        assert torch.equal(flat.detach(), before)


@pytest.mark.parametrize("offset", [1e3, 1e4, 1e5])
def test_kmeans_finds_the_means_of_many_rows_far_from_the_origin(offset):
    flat = torch.cat([on_a_grid(8192, 3, offset=offset), on_a_grid(8192, 3, offset=offset + 4, seed=1)])
    codebook, _ = kmeans_init(flat, 2, generator=seeded(1))
    codes = nearest_codes(flat, codebook)
    for code in range(2):
        chosen = array(flat)[codes.numpy() == code]
        assert len(chosen) == 8192
        close(codebook[code], chosen.mean(axis=0), rtol=5e-7)


def test_kmeans_of_half_precision_latents_does_not_overflow():
    flat = torch.full((1000, 2), 100.0, dtype=torch.float16)  # their sum is beyond float16
    codebook, counts = kmeans_init(flat, 1)
    assert codebook.tolist() == [[100, 100]] and counts.tolist() == [1000]


def test_kmeans_counts_of_bfloat16_latents_are_exact():
    _, counts = kmeans_init(torch.ones(1001, 2, dtype=torch.bfloat16), 1)  # bfloat16 has 1000 and 1004
    assert counts.tolist() == [1001]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"codebook_size": 0}, ValueError, "codebook_size is 0.*at least 1"),
        ({"codebook_size": 2.0}, TypeError, "codebook_size is 2.0.*whole"),
        ({"codebook_size": True}, TypeError, "codebook_size is True.*whole"),
        ({"iterations": -1}, ValueError, "iterations is -1.*at least 0"),
        ({"iterations": 1.5}, TypeError, "iterations is 1.5.*whole"),
        ({"flat": torch.ones(4)}, ValueError, r"\(4,\)"),
        ({"flat": torch.ones(4, 2, 1)}, ValueError, r"\(4, 2, 1\)"),
        ({"flat": torch.ones(0, 2)}, ValueError, r"\(0, 2\)"),
        ({"flat": torch.ones(4, 2).long()}, TypeError, "int64.*floating"),
        ({"flat": torch.tensor([[0.0, -math.inf]])}, ValueError, r"1 NaN.*\(0, 1\)"),
    ],
)
def test_kmeans_rejects_what_does_not_fit(changes, error, message):
    with pytest.raises(error, match=message):
        kmeans_init(**({"flat": torch.ones(4, 2), "codebook_size": 2} | changes))


# ----------------------------------------------------------------------------------------------------------------------
# restart_dead_codes


def restart_inputs(rows=9, size=6, dim=3, seed=0):
    """Counts 0.0, 0.5, 1.0, ... and rows that are all different."""
    codebook = normal(size, dim, seed=seed)
    cluster_size = torch.arange(size, dtype=torch.float64) / 2
    return codebook, cluster_size, normal(size, dim, seed=seed + 1), normal(rows, dim, seed=seed + 2)


@over(rows=few, size=few, dim=few, threshold=st.sampled_from([0, 0.25, 0.5, 1.0, 2.2, 100]), seed=seeds)
def test_only_dead_codes_move_and_they_move_onto_latents(rows, size, dim, threshold, seed):
    codebook, cluster_size, embed_sum, flat = restart_inputs(rows, size, dim, seed)
    results = restart_dead_codes(codebook, cluster_size, embed_sum, flat, threshold, seeded(seed))
    new_codebook, new_size, new_sum = results
    latents, moved = flat.tolist(), []
    for code in range(size):
        if cluster_size[code].item() < threshold:  # a count equal to the threshold is alive
            assert new_codebook[code].tolist() in latents
            assert new_size[code] == 1 and torch.equal(new_sum[code], new_codebook[code])
            moved.append(latents.index(new_codebook[code].tolist()))
        else:
            assert torch.equal(new_codebook[code], codebook[code])
            assert new_size[code] == cluster_size[code] and torch.equal(new_sum[code], embed_sum[code])
    if moved:  # each row once before any row twice
        times = np.bincount(moved, minlength=rows)
        assert set(times.tolist()) <= {len(moved) // rows, math.ceil(len(moved) / rows)}
    for result, before in zip(results, (codebook, cluster_size, embed_sum), strict=True):
        assert result.shape == before.shape and result.dtype == before.dtype


def test_restarts_leave_their_inputs_alone_even_where_nothing_is_dead():
    for threshold in (0.0, 1.0):
        inputs = restart_inputs()
        inputs[3].requires_grad_()
        before = [tensor.clone() for tensor in inputs]
        for result in restart_dead_codes(*inputs, threshold):
            assert not result.requires_grad
            result.fill_(-7)
        assert all(torch.equal(was, now) for was, now in zip(before, inputs, strict=True))


def test_restarts_draw_from_all_latents_and_repeat_with_the_generator():
    state, flat = restart_inputs(dim=1)[:3], torch.arange(8, dtype=torch.float64).unsqueeze(1)
    drawn = [restart_dead_codes(*state, flat, 0.1, seeded(seed))[0][0].item() for seed in range(60)]
    assert set(drawn) == set(range(8))
    assert restart_dead_codes(*state, flat, 0.1, seeded(7))[0][0].item() == drawn[7]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_restarts_take_latents_of_another_precision(dtype):
    flat, state = normal(1, 2).to(dtype), (torch.zeros(2, 2), torch.zeros(2), torch.zeros(2, 2))
    codebook, cluster_size, embed_sum = restart_dead_codes(*state, flat, 1)
    assert codebook.dtype == cluster_size.dtype == embed_sum.dtype == torch.float32
    assert codebook.tolist() == embed_sum.tolist() == [flat[0].float().tolist()] * 2


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"cluster_size": torch.ones(4)}, ValueError, r"\(3, 2\).*\(4,\)"),
        ({"embed_sum": torch.ones(2, 3)}, ValueError, r"\(3, 2\).*\(2, 3\)"),
        ({"flat": torch.ones(5, 3)}, ValueError, r"\(3, 2\).*\(5, 3\)"),
        ({"flat": torch.ones(0, 2)}, ValueError, r"flat.*\(0, 2\)"),
        ({"flat": torch.ones(5, 2).long()}, TypeError, "flat.*int64"),
        ({"flat": torch.tensor([[math.nan, 0.0]])}, ValueError, r"flat has 1 NaN.*\(0, 0\)"),
        ({"codebook": torch.ones(3)}, ValueError, r"codebook.*\(3,\)"),
        ({"codebook": torch.full((3, 2), math.nan)}, ValueError, "codebook has 6 NaN"),
        ({"threshold": math.nan}, ValueError, "threshold is nan"),
        ({"threshold": -1.0}, ValueError, "threshold is -1.0.*>= 0"),
    ],
)
def test_restarts_reject_what_does_not_fit(changes, error, message):
    arguments = {"codebook": torch.ones(3, 2), "cluster_size": torch.ones(3), "embed_sum": torch.ones(3, 2)}
    arguments |= {"flat": torch.ones(5, 2), "threshold": 0.5} | changes
    with pytest.raises(error, match=message):
        restart_dead_codes(**arguments)


# ----------------------------------------------------------------------------------------------------------------------
# Both layers


def make(layer_class, dim, size, seed=0, dtype=torch.float64, **options):
    torch.manual_seed(seed)
    return layer_class(dim, size, **options).to(dtype)


def to_channel_last(latents):
    return latents.movedim(1, -1)


@both_layers
@both_axes
@over(shape=latent_shapes, size=few, seed=seeds)
def test_a_layer_returns_the_nearest_vectors_their_codes_and_the_loss(layer_class, channel_last, shape, size, seed):
    weight = 0.75
    layer = make(layer_class, shape[1], size, seed, channel_last=channel_last, commitment_weight=weight)
    codebook, latents = array(layer.codebook).copy(), normal(*shape, seed=seed)
    inputs = to_channel_last(latents) if channel_last else latents
    untouched = inputs.clone()
    quantized, codes, loss = layer(inputs)

    wanted = loop_nearest(loop_flatten(array(latents)), codebook)
    assert codes.dtype == torch.int64 and codes.shape == (shape[0], *shape[2:])
    assert codes.flatten().tolist() == wanted.tolist()
    assert quantized.shape == inputs.shape and quantized.dtype == inputs.dtype
    back = quantized.movedim(-1, 1) if channel_last else quantized
    np.testing.assert_array_equal(loop_flatten(array(back)), codebook[wanted])  # to the last bit
    error = loop_mean_square(array(latents), array(back))
    assert loss.shape == ()
    close(loss, (1 + weight) * error if layer_class is VectorQuantizer else weight * error)
    assert torch.equal(inputs, untouched)


@both_layers
@over(shape=latent_shapes, size=few, seed=seeds)
def test_a_layer_passes_the_gradient_and_adds_the_commitment(layer_class, shape, size, seed):
    layer = make(layer_class, shape[1], size, seed, commitment_weight=0.75)
    latents, upstream = normal(*shape, seed=seed).requires_grad_(), normal(*shape, seed=seed + 1)
    quantized, codes, loss = layer(latents)
    ((quantized * upstream).sum() + loss).backward()
    difference = array(latents) - array(quantized)
    close(latents.grad, array(upstream) + 0.75 * 2 * difference / latents.numel())
    if layer_class is VectorQuantizer:  # the codebook hears the codebook loss alone
        wanted = np.zeros(layer.codebook.shape)
        rows = loop_flatten(-2 * difference / latents.numel())
        for code, row in zip(codes.flatten().tolist(), rows, strict=True):
            wanted[code] += row
        close(layer.codebook.grad, wanted)


@both_layers
@over(shape=latent_shapes, size=few, seed=seeds)
def test_channel_last_is_channel_first_with_its_axes_moved(layer_class, shape, size, seed):
    first = make(layer_class, shape[1], size, seed, dtype=torch.float32)
    last = make(layer_class, shape[1], size, seed, dtype=torch.float32, channel_last=True)
    latents = normal(*shape, seed=seed, dtype=torch.float32).requires_grad_()
    moved = to_channel_last(latents.detach()).contiguous().requires_grad_()
    upstream = normal(*shape, seed=seed + 1, dtype=torch.float32)
    (quantized, codes, loss), (quantized_last, codes_last, loss_last) = first(latents), last(moved)
    ((quantized * upstream).sum() + loss).backward()
    ((quantized_last * to_channel_last(upstream)).sum() + loss_last).backward()
    assert torch.equal(to_channel_last(quantized), quantized_last)
    assert torch.equal(codes, codes_last) and torch.equal(loss, loss_last)
    assert torch.equal(to_channel_last(latents.grad), moved.grad)
    assert equal_states(first.state_dict(), last.state_dict())


@both_layers
@pytest.mark.parametrize("weight", [0, 0.25, 1, 2.5])
def test_the_commitment_weight_weighs_the_commitment(layer_class, weight):
    layer = make(layer_class, 3, 5, commitment_weight=weight)
    latents = normal(4, 3, 2).requires_grad_()
    quantized, _, loss = layer(latents)
    mean_square = loop_mean_square(array(latents), array(quantized))
    close(loss, (weight + (layer_class is VectorQuantizer)) * mean_square)
    loss.backward()
    close(latents.grad, weight * 2 * (array(latents) - array(quantized)) / latents.numel())


@both_layers
def test_latents_that_are_not_contiguous(layer_class):
    latents = normal(5, 2, 4).permute(1, 2, 0)  # (2, 4, 5)
    one, other = make(layer_class, 4, 6), make(layer_class, 4, 6)
    for ours, theirs in zip(one(latents), other(latents.contiguous()), strict=True):
        assert torch.equal(ours, theirs)


@both_layers
def test_two_passes_before_one_backward(layer_class):
    layer = make(layer_class, 3, 5, decay=0.5) if layer_class is VectorQuantizerEMA else make(layer_class, 3, 5)
    passes = []
    for seed in (0, 1):
        latents = normal(6, 3, seed=seed).requires_grad_()
        quantized, _, loss = layer(latents)
        passes.append((latents, quantized, loss))
    sum(quantized.sum() + loss for _, quantized, loss in passes).backward()
    for latents, quantized, _ in passes:
        close(latents.grad, 1 + 0.25 * 2 * (array(latents) - array(quantized)) / latents.numel())


@both_layers
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_latents_are_quantized_in_float32_and_returned_as_they_came(layer_class, dtype):
    layer, other = (make(layer_class, 4, 9, dtype=torch.float32) for _ in range(2))
    latents = normal(5, 4, 3).to(dtype).requires_grad_()
    quantized, codes, loss = layer(latents)
    wanted, wanted_codes, wanted_loss = other(latents.detach().float())
    assert torch.equal(codes, wanted_codes) and torch.equal(quantized, wanted.to(dtype))
    assert loss.dtype == torch.float32 and torch.equal(loss, wanted_loss)
    assert equal_states(layer.state_dict(), other.state_dict())
    (quantized.sum() + loss).backward()
    assert latents.grad.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_kmeans_of_half_precision_latents_is_computed_in_float32(dtype):
    layer, other = (make(VectorQuantizerEMA, 4, 9, dtype=torch.float32, kmeans_init=True) for _ in range(2))
    latents = normal(50, 4).to(dtype)
    for quantizer, seen in ((layer, latents), (other, latents.float())):
        torch.manual_seed(0)
        quantizer(seen)
    assert equal_states(layer.state_dict(), other.state_dict())


@both_layers
def test_a_layer_stored_in_half_precision_gives_its_loss_in_float32(layer_class):
    layer, latents = make(layer_class, 4, 9, dtype=torch.bfloat16), normal(50, 4).to(torch.bfloat16)
    quantized, _, loss = layer(latents)
    assert loss.dtype == torch.float32 and quantized.dtype == torch.bfloat16
    mean_square = loop_mean_square(array(latents), array(quantized))
    close(loss, (0.25 + (layer_class is VectorQuantizer)) * mean_square, rtol=1e-5)


@both_layers
def test_the_arithmetic_runs_outside_autocast(layer_class):
    seen = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, function, types, arguments=(), options=None):
            if function in (torch.cdist, torch.nn.functional.mse_loss):
                seen.append(torch.is_autocast_enabled("cpu"))
            return function(*arguments, **(options or {}))

    with torch.autocast("cpu", dtype=torch.bfloat16), Watch():
        make(layer_class, 3, 5, dtype=torch.float32)(normal(6, 3, dtype=torch.float32))
        assert torch.is_autocast_enabled("cpu")
    assert seen and not any(seen)


@both_layers
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_changes_nothing(layer_class, dtype):
    layer, other = (make(layer_class, 4, 30, dtype=torch.float32) for _ in range(2))
    latents = normal(50, 4).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        results = layer(latents)
    for ours, theirs in zip(results, other(latents), strict=True):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    assert results[0].dtype == dtype and results[2].dtype == torch.float32
    assert equal_states(layer.state_dict(), other.state_dict())


@both_layers
def test_an_encoder_under_autocast_trains(layer_class):
    layer, encoder = make(layer_class, 3, 5, dtype=torch.float32), torch.nn.Linear(2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        quantized, codes, loss = layer(encoder(normal(8, 2, dtype=torch.float32)))
    assert quantized.dtype == torch.bfloat16 and loss.dtype == torch.float32
    (quantized.float().square().sum() + loss).backward()
    assert torch.isfinite(encoder.weight.grad).all() and encoder.weight.grad.abs().sum() > 0


@both_layers
def test_a_float64_layer_computes_in_float64(layer_class):
    layer = make(layer_class, 2, 2)
    state = state_of(layer)
    state["codebook"] = torch.tensor([[1.0, 0.0], [1.0 + 1e-12, 0.0]], dtype=torch.float64)
    layer.load_state_dict(state)
    quantized, codes, loss = layer(torch.tensor([[1 + 2e-12, 0], [1 - 1e-12, 0]], dtype=torch.float64))
    assert codes.tolist() == [1, 0] and quantized.dtype == loss.dtype == torch.float64
    assert all(value.dtype in (torch.float64, torch.bool) for value in layer.state_dict().values())


@both_layers
@pytest.mark.parametrize(("layer_dtype", "dtype"), [(torch.float32, torch.float64), (torch.float64, torch.float32)])
def test_latents_of_another_precision_than_the_layer(layer_class, layer_dtype, dtype):
    layer, latents = make(layer_class, 3, 5, dtype=layer_dtype), normal(6, 3).to(dtype).requires_grad_()
    codebook = array(layer.codebook).copy()
    quantized, codes, loss = layer(latents)
    (quantized.sum() + loss).backward()
    assert codes.tolist() == loop_nearest(array(latents), codebook).tolist()
    assert quantized.dtype == latents.grad.dtype == dtype and layer.codebook.dtype == layer_dtype


@both_layers
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_of_a_trained_layer_does_the_same_and_lives_its_own_life(layer_class, clone):
    layer = make(layer_class, 3, 5)
    layer(normal(6, 3))
    twin = clone(layer)
    assert equal_states(layer.state_dict(), twin.state_dict())
    for ours, theirs in zip(layer(normal(6, 3, seed=1)), twin(normal(6, 3, seed=1)), strict=True):
        assert torch.equal(ours, theirs)
    before = state_of(layer)
    with torch.no_grad():
        twin.codebook.zero_()
    assert equal_states(layer.state_dict(), before)


@both_layers
def test_a_loaded_state_gives_the_same_codes(layer_class):
    layer = make(layer_class, 3, 7, dtype=torch.float32)
    for step in range(5):
        layer(normal(20, 3, seed=step, dtype=torch.float32))
    stored = io.BytesIO()
    torch.save(layer.state_dict(), stored)
    stored.seek(0)
    fresh = make(layer_class, 3, 7, seed=1, dtype=torch.float32)
    fresh.load_state_dict(torch.load(stored))
    assert equal_states(layer.state_dict(), fresh.state_dict())
    latents = normal(20, 3, seed=9, dtype=torch.float32)
    for ours, theirs in zip(layer.eval()(latents), fresh.eval()(latents), strict=True):
        assert torch.equal(ours, theirs)


@both_layers
def test_a_layer_says_what_it_is(layer_class):
    text = repr(layer_class(3, 7, commitment_weight=0.5))
    assert layer_class.__name__ in text and "dim=3, codebook_size=7, commitment_weight=0.5" in text


def test_the_ema_layer_says_its_decay():
    assert "decay=0.9, dead_code_threshold=0.25" in repr(VectorQuantizerEMA(3, 7, decay=0.9, dead_code_threshold=0.25))


# ----------------------------------------------------------------------------------------------------------------------
# The gradient layer


def test_the_gradient_layer_has_one_parameter_uniform_within_1_over_k():
    layer = make(VectorQuantizer, 64, 512, dtype=torch.float32)
    assert [name for name, _ in layer.named_parameters()] == ["codebook"] and not list(layer.buffers())
    assert layer.codebook.shape == (512, 64) and layer.codebook.dtype == torch.float32
    scaled = array(layer.codebook).ravel() * 512
    assert -1 <= scaled.min() < -0.99 and 0.99 < scaled.max() <= 1
    assert scipy.stats.kstest(scaled, "uniform", args=(-1, 2)).pvalue > 1e-3


def test_the_gradient_layer_learns_the_means_of_its_latents():
    layer, flat = make(VectorQuantizer, 2, 2), blobs([[0, 0], [6, 6]], 20)
    layer.load_state_dict({"codebook": torch.tensor([[1.0, 1.0], [4.0, 4.0]])})
    optimizer = torch.optim.SGD(layer.parameters(), lr=1)
    for _ in range(60):
        optimizer.zero_grad()
        layer(flat)[2].backward()
        optimizer.step()
    near, far = flat[flat[:, 0] < 3], flat[flat[:, 0] > 3]
    close(layer.codebook, [array(near).mean(0), array(far).mean(0)], rtol=1e-6)


def test_the_gradient_layer_does_the_same_in_eval_mode_and_changes_nothing_by_itself():
    layer, latents = make(VectorQuantizer, 3, 5), normal(6, 3)
    before = state_of(layer)
    for ours, theirs in zip(layer(latents), layer.eval()(latents), strict=True):
        assert torch.equal(ours, theirs)
    assert equal_states(before, layer.state_dict())


# ----------------------------------------------------------------------------------------------------------------------
# The EMA layer


def test_the_ema_layer_starts_with_counts_of_1_and_sums_equal_to_a_normal_codebook():
    layer = make(VectorQuantizerEMA, 64, 512, dtype=torch.float32)
    assert not list(layer.parameters())
    assert [name for name, _ in layer.named_buffers()] == ["codebook", "cluster_size", "embed_sum", "initialised"]
    assert list(layer.state_dict()) == ["codebook", "cluster_size", "embed_sum", "initialised"]
    assert layer.codebook.shape == (512, 64) and layer.codebook.dtype == torch.float32
    assert scipy.stats.kstest(array(layer.codebook).ravel(), "norm").pvalue > 1e-3
    assert layer.cluster_size.tolist() == [1] * 512
    assert torch.equal(layer.embed_sum, layer.codebook)
    assert layer.embed_sum.data_ptr() != layer.codebook.data_ptr()
    assert layer.initialised.dtype == torch.bool and layer.initialised.item() is True
    assert VectorQuantizerEMA(2, 3, kmeans_init=True).initialised.item() is False


@pytest.mark.parametrize(("decay", "eps"), [(0, 1e-5), (0.5, 0.3), (0.99, 1e-5)])
@over(examples=10, shape=latent_shapes, size=few, seed=seeds)
def test_the_ema_layer_looks_up_then_updates_step_by_step(decay, eps, shape, size, seed):
    layer = make(VectorQuantizerEMA, shape[1], size, seed, decay=decay, eps=eps)
    codebook, counts, sums = (array(buffer).copy() for buffer in (layer.codebook, layer.cluster_size, layer.embed_sum))
    for step in range(4):
        latents = normal(*shape, seed=seed + step)
        quantized, codes, _ = layer(latents)
        flat = loop_flatten(array(latents))
        wanted = loop_nearest(flat, codebook)
        assert codes.flatten().tolist() == wanted.tolist()
        close(loop_flatten(array(quantized)), codebook[wanted])  # the codebook from before this update
        counts, sums, codebook = loop_ema(counts, sums, flat, wanted, decay, eps)
        for name, value in (("codebook", codebook), ("cluster_size", counts), ("embed_sum", sums)):
            close(layer.state_dict()[name], value)


def test_in_eval_mode_nothing_changes_and_the_loss_is_given():
    layer = make(VectorQuantizerEMA, 3, 5, kmeans_init=True, dead_code_threshold=0.9).eval()
    before, latents = state_of(layer), normal(6, 3).requires_grad_()
    for _ in range(3):
        quantized, _, loss = layer(latents)
    assert equal_states(before, layer.state_dict())
    close(loss, 0.25 * loop_mean_square(array(latents), array(quantized)))
    assert loss > 0
    loss.backward()
    close(latents.grad, 0.25 * 2 * (array(latents) - array(quantized)) / latents.numel())


def test_the_ema_layer_records_no_graph_in_its_buffers():
    layer = make(VectorQuantizerEMA, 3, 5, kmeans_init=True, dead_code_threshold=0.9)
    for step in range(3):
        latents = (2 * normal(6, 3, seed=step).requires_grad_()) ** 2
        _, _, loss = layer(latents)
        loss.backward()
        for buffer in layer.buffers():
            assert not buffer.requires_grad and buffer.grad_fn is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ema_layer_updates_its_buffers_in_place(dtype):
    layer = make(VectorQuantizerEMA, 3, 5, dtype=torch.float32, kmeans_init=True, dead_code_threshold=0.9)
    before = dict(layer.named_buffers())
    layer(normal(6, 3, dtype=dtype)), layer(normal(6, 3, seed=1, dtype=dtype))
    assert all(buffer is before[name] for name, buffer in layer.named_buffers())
    assert layer.codebook.dtype == layer.cluster_size.dtype == layer.embed_sum.dtype == torch.float32


def test_the_ema_layer_updates_without_gradients_too():
    layer, other = make(VectorQuantizerEMA, 3, 5), make(VectorQuantizerEMA, 3, 5)
    with torch.no_grad():
        layer(normal(6, 3))
    other(normal(6, 3))
    assert equal_states(layer.state_dict(), other.state_dict())


def test_an_unused_code_keeps_its_vector_then_shrinks_when_its_count_nears_eps():
    layer = VectorQuantizerEMA(1, 2)
    layer.codebook.copy_(torch.tensor([[0.0], [100.0]]))
    layer.embed_sum.copy_(layer.codebook)
    latents, course = torch.ones(4, 1), []
    for _ in range(2000):
        layer(latents)
        course.append(layer.codebook[1].item() / 100)
    assert all(abs(value - 1) < 0.001 for value in course[:400])
    half = next(step for step, value in enumerate(course, start=1) if value < 0.5)
    assert half == pytest.approx(math.log(1e-5) / math.log(0.99), abs=3)  # 0.99^t = eps at t = 1146
    assert course[-1] < 0.001 and layer.codebook[0].item() == pytest.approx(1, rel=1e-4)


def test_kmeans_sets_codebook_counts_and_sums_from_the_first_training_batch():
    latents = normal(20, 2, 15, seed=1)  # the tenth iteration still moves centroids
    flat = flatten_latents(latents)
    layer = make(VectorQuantizerEMA, 2, 20, kmeans_init=True, decay=0.9)
    torch.manual_seed(1)
    quantized, codes, loss = layer(latents)
    torch.manual_seed(1)
    centroids, counts = kmeans_init(flat, 20)
    wanted_codes = nearest_codes(flat, centroids)
    assert torch.equal(codes.flatten(), wanted_codes)
    assert torch.equal(flatten_latents(quantized), centroids[wanted_codes])
    wanted = ema_update(counts, centroids * counts.unsqueeze(1), flat, wanted_codes, 0.9)
    for buffer, value in zip((layer.cluster_size, layer.embed_sum, layer.codebook), wanted, strict=True):
        close(buffer, array(value))
    assert layer.initialised.item() is True


def test_the_first_update_does_not_throw_the_centroids_away():
    flat = blobs([[50, 50], [60, 50], [50, 60]], 30)
    layer = make(VectorQuantizerEMA, 2, 3, kmeans_init=True)
    torch.manual_seed(2)
    layer(flat)
    torch.manual_seed(2)
    centroids, counts = kmeans_init(flat, 3)
    close(layer.codebook, array(centroids), rtol=1e-5)
    close(layer.cluster_size, array(counts))
    close(array(layer.embed_sum) / array(layer.cluster_size)[:, None], array(centroids))


def test_kmeans_runs_once_and_never_in_eval_mode():
    layer = make(VectorQuantizerEMA, 2, 3, kmeans_init=True)
    layer.eval()(normal(9, 2))
    assert layer.initialised.item() is False
    layer.train()(normal(9, 2))
    before = state_of(layer)
    flat = normal(9, 2, seed=1)
    _, codes, _ = layer(flat)
    assert torch.equal(codes, nearest_codes(flat, before["codebook"]))
    wanted = ema_update(before["cluster_size"], before["embed_sum"], flat, codes, 0.99)
    for buffer, value in zip((layer.cluster_size, layer.embed_sum, layer.codebook), wanted, strict=True):
        assert torch.equal(buffer, value)


def test_a_loaded_layer_is_not_initialised_again():
    trained, fresh = (make(VectorQuantizerEMA, 2, 3, seed, kmeans_init=True) for seed in (0, 1))
    trained(normal(9, 2))
    fresh.load_state_dict(trained.state_dict())
    assert fresh.initialised.item() is True
    trained(normal(9, 2, seed=1) + 5), fresh(normal(9, 2, seed=1) + 5)
    assert equal_states(trained.state_dict(), fresh.state_dict())


def test_kmeans_in_the_layer_works_for_fewer_latents_than_codes():
    layer = make(VectorQuantizerEMA, 2, 5, kmeans_init=True)
    flat = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    quantized, codes, _ = layer(flat)
    assert torch.equal(quantized, flat) and codes[0] != codes[1]
    assert torch.isfinite(layer.codebook).all() and layer.cluster_size.sum() == pytest.approx(2)


def test_dead_codes_restart_after_the_update():
    threshold, decay = 0.99, 0.9  # just below the count of a code that is used once a batch
    layer = make(VectorQuantizerEMA, 2, 8, decay=decay, dead_code_threshold=threshold)
    for step in range(3):
        before, flat = state_of(layer), normal(5, 2, seed=step)
        torch.manual_seed(step)
        quantized, codes, _ = layer(flat)
        assert torch.equal(codes, nearest_codes(flat, before["codebook"]))
        assert torch.equal(quantized, before["codebook"][codes])  # the restart is too late for this batch
        counts, sums, codebook = ema_update(before["cluster_size"], before["embed_sum"], flat, codes, decay)
        assert 0 < (counts < threshold).sum() < 8
        torch.manual_seed(step)
        wanted = restart_dead_codes(codebook, counts, sums, flat, threshold)
        for buffer, value in zip((layer.codebook, layer.cluster_size, layer.embed_sum), wanted, strict=True):
            assert torch.equal(buffer, value)
        assert (layer.cluster_size >= threshold).all()


def test_without_a_threshold_no_code_restarts():
    layer = make(VectorQuantizerEMA, 1, 2, decay=0)
    layer.codebook.copy_(torch.tensor([[0.0], [50.0]]))
    layer.embed_sum.copy_(layer.codebook)
    state = torch.get_rng_state()
    layer(torch.ones(3, 1, dtype=torch.float64))
    assert layer.cluster_size.tolist() == [3, 0] and layer.embed_sum[1].item() == 0
    assert torch.equal(torch.get_rng_state(), state)


def test_dead_codes_come_back_to_work():
    layer = make(VectorQuantizerEMA, 2, 8, decay=0.5, dead_code_threshold=0.5)
    layer.codebook.add_(1000), layer.embed_sum.add_(1000)  # far away: a single code is nearest
    flat = normal(200, 2)
    assert codebook_usage(layer(flat)[1], 8) == 1 / 8
    for _ in range(20):
        layer(flat)
    assert codebook_usage(layer(flat)[1], 8) == 1


# ----------------------------------------------------------------------------------------------------------------------
# What a layer rejects, and that nothing has changed then


def one_nan_at(*place):
    latents = torch.zeros(3, 3, 3)
    latents[place] = math.nan
    return latents


@both_layers
@both_axes
@pytest.mark.parametrize(
    ("latents", "error", "message"),
    [
        (torch.zeros(2, 5, 7), ValueError, r"\(2, 5, 7\); wanted \(B.* 3"),
        (torch.zeros(2, 5), ValueError, r"\(2, 5\); wanted \(B.* 3"),
        (torch.zeros(3), ValueError, r"\(3,\); wanted \(B.* 3"),
        (torch.tensor(1.0), ValueError, r"\(\); wanted \(B.* 3"),
        (torch.zeros(3, 3, 3).long(), TypeError, r"int64; wanted a floating-point tensor \(B.* 3"),
        (torch.zeros(3, 3, 3).bool(), TypeError, "bool; wanted a floating-point"),
        (torch.zeros(3, 3, 3, dtype=torch.complex64), TypeError, "complex64; wanted a floating-point"),
        (torch.zeros(0, 3), ValueError, r"\(0, 3\).*empty.*at least one"),
        (torch.zeros(3, 3, 0, 3), ValueError, r"\(3, 3, 0, 3\).*empty.*at least one"),
        (torch.full((1, 3), math.nan), ValueError, r"latents has 3 NaN or infinite values.*\(0, 0\)"),
        (one_nan_at(1, 2, 0), ValueError, r"latents has 1 NaN or infinite values.*\(1, 2, 0\)"),
        (torch.tensor([[0, 1, math.inf]]), ValueError, r"1 NaN or infinite values.*\(0, 2\)"),
        (torch.tensor([[0, 1, -math.inf]]).half(), ValueError, r"1 NaN or infinite values.*\(0, 2\)"),
    ],
)
def test_a_layer_rejects_what_does_not_fit_and_stays_as_it_was(layer_class, channel_last, latents, error, message):
    layer = make(layer_class, 3, 4, channel_last=channel_last)
    if layer_class is VectorQuantizerEMA:
        layer = make(layer_class, 3, 4, channel_last=channel_last, kmeans_init=True, dead_code_threshold=0.5)
    before, random_state = state_of(layer), torch.get_rng_state()
    with pytest.raises(error, match=message):
        layer(latents)
    assert equal_states(before, layer.state_dict())
    assert torch.equal(torch.get_rng_state(), random_state)


@both_layers
def test_the_wrong_axis_order_is_named(layer_class):
    with pytest.raises(ValueError, match=r"\(2, 7, 3\); wanted \(B, 3, \*S\); channel_last=True would take it"):
        layer_class(3, 4)(torch.zeros(2, 7, 3))
    with pytest.raises(ValueError, match=r"\(2, 3, 7\); wanted \(B, \*S, 3\); channel_last=False would take it"):
        layer_class(3, 4, channel_last=True)(torch.zeros(2, 3, 7))
    with pytest.raises(ValueError) as caught:
        layer_class(3, 4)(torch.zeros(2, 7, 5))
    assert "would take it" not in str(caught.value)


@both_layers
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dim": 0}, ValueError, "dim is 0; wanted at least 1"),
        ({"dim": -3}, ValueError, "dim is -3; wanted at least 1"),
        ({"dim": 2.0}, TypeError, "dim is 2.0; wanted a whole"),
        ({"dim": True}, TypeError, "dim is True; wanted a whole"),
        ({"codebook_size": 0}, ValueError, "codebook_size is 0; wanted at least 1"),
        ({"codebook_size": "8"}, TypeError, "codebook_size is '8'; wanted a whole"),
        ({"commitment_weight": -0.1}, ValueError, "commitment_weight is -0.1; wanted.*>= 0"),
        ({"commitment_weight": math.nan}, ValueError, "commitment_weight is nan"),
        ({"commitment_weight": math.inf}, ValueError, "commitment_weight is inf"),
    ],
)
def test_a_layer_rejects_bad_settings(layer_class, options, error, message):
    with pytest.raises(error, match=message):
        layer_class(**({"dim": 2, "codebook_size": 3} | options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": 1}, "decay is 1; wanted 0 <= decay < 1"),
        ({"decay": -0.1}, "decay is -0.1; wanted 0 <= decay < 1"),
        ({"decay": 1.5}, "decay is 1.5; wanted 0 <= decay < 1"),
        ({"decay": math.nan}, "decay is nan"),
        ({"eps": -1e-5}, "eps is -1e-05; wanted.*>= 0"),
        ({"eps": math.nan}, "eps is nan"),
        ({"eps": math.inf}, "eps is inf"),
        ({"dead_code_threshold": -1}, "dead_code_threshold is -1; wanted.*>= 0"),
        ({"dead_code_threshold": math.nan}, "dead_code_threshold is nan"),
        ({"dead_code_threshold": math.inf}, "dead_code_threshold is inf"),
    ],
)
def test_the_ema_layer_rejects_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        VectorQuantizerEMA(2, 3, **options)


def test_the_ema_layer_takes_the_ends_of_the_ranges():
    layer = VectorQuantizerEMA(1, 1, decay=0, eps=0, commitment_weight=0, dead_code_threshold=0)
    _, _, loss = layer(torch.tensor([[3.0]]))
    assert loss.item() == 0 and layer.codebook.item() == 3


# ----------------------------------------------------------------------------------------------------------------------
# Side by side with the library, whose loss in eval mode is 0, and whose loss may have the shape (1,)


def library_layer(dim, size, spatial_axes, channel_last, **options):
    """Their channel-first layer has one option for each number of axes; channel-last takes one axis or none."""
    axes = {} if channel_last else {"accept_image_fmap": spatial_axes == 2, "accept_3d_fmap": spatial_axes == 3}
    return VectorQuantize(
        dim, size, channel_last=channel_last, rotation_trick=False, threshold_ema_dead_code=0, **axes, **options
    )


side_by_side = pytest.mark.parametrize(
    ("shape", "channel_last"),
    [
        ((9, 4), False),
        ((9, 4), True),
        ((5, 4, 7), False),
        ((5, 4, 7), True),
        ((3, 4, 5, 3), False),
        ((2, 4, 3, 2, 3), False),
        ((1, 3, 1), False),
        ((6, 1, 5), False),
    ],
)


def training_inputs(shape, channel_last, steps):
    """Pairs of equal leaves, one for us and one for the library, and what flows back to both. Their mean drifts."""
    for step in range(steps):
        latents = normal(*shape, seed=step, dtype=torch.float32) + 0.02 * step
        upstream = normal(*shape, seed=1000 + step, dtype=torch.float32)
        if channel_last:
            latents, upstream = to_channel_last(latents).contiguous(), to_channel_last(upstream)
        yield latents.clone().requires_grad_(), latents.clone().requires_grad_(), upstream


@side_by_side
@pytest.mark.parametrize(("decay", "eps", "weight"), [(0.99, 1e-5, 0.25), (0.8, 1e-2, 1.0)])
def test_the_ema_layer_equals_the_library_step_by_step(shape, channel_last, decay, eps, weight):
    size, options = 11, {"decay": decay, "eps": eps, "commitment_weight": weight}
    ours = make(VectorQuantizerEMA, shape[1], size, dtype=torch.float32, channel_last=channel_last, **options)
    theirs = library_layer(shape[1], size, len(shape) - 2, channel_last, **options)
    theirs._codebook.embed.copy_(ours.codebook.unsqueeze(0))
    theirs._codebook.embed_avg.copy_(ours.embed_sum.unsqueeze(0))
    theirs._codebook.cluster_size.copy_(ours.cluster_size.unsqueeze(0))
    for x, y, upstream in training_inputs(shape, channel_last, 40):
        quantized, codes, loss = ours(x)
        their_quantized, their_codes, their_loss = theirs(y)
        assert torch.equal(codes, their_codes)
        close(quantized, array(their_quantized), rtol=1e-4, atol=1e-5)
        close(loss, array(their_loss).reshape(()), rtol=1e-4, atol=1e-6)
        ((quantized * upstream).sum() + 3 * loss).backward()
        ((their_quantized * upstream).sum() + 3 * their_loss.sum()).backward()
        close(x.grad, array(y.grad), rtol=1e-4, atol=1e-5)
        close(ours.codebook, array(theirs.codebook), rtol=1e-4, atol=1e-5)
        close(ours.embed_sum, array(theirs._codebook.embed_avg[0]), rtol=1e-4, atol=1e-5)
        close(ours.cluster_size, array(theirs._codebook.cluster_size[0]), rtol=1e-4, atol=1e-5)
    quantized, codes, loss = ours.eval()(x.detach())
    their_quantized, their_codes, their_loss = theirs.eval()(x.detach())
    assert torch.equal(codes, their_codes)
    close(quantized, array(their_quantized), rtol=1e-4, atol=1e-5)
    assert their_loss.item() == 0 < loss.item()


@side_by_side
def test_the_gradient_layer_equals_the_library_with_a_learnable_codebook(shape, channel_last):
    size = 11
    ours = make(VectorQuantizer, shape[1], size, dtype=torch.float32, channel_last=channel_last, commitment_weight=1.0)
    theirs = library_layer(shape[1], size, len(shape) - 2, channel_last, learnable_codebook=True, ema_update=False)
    with torch.no_grad():
        theirs._codebook.embed.copy_(ours.codebook.unsqueeze(0))
    optimizers = [torch.optim.Adam(layer.parameters(), lr=0.05) for layer in (ours, theirs)]
    for x, y, upstream in training_inputs(shape, channel_last, 25):
        for optimizer in optimizers:
            optimizer.zero_grad()
        quantized, codes, loss = ours(x)
        their_quantized, their_codes, their_loss = theirs(y)
        assert torch.equal(codes, their_codes)
        close(quantized, array(their_quantized), rtol=1e-4, atol=1e-5)
        close(loss, 2 * array(their_loss).reshape(()), rtol=1e-4, atol=1e-6)  # theirs is one term with both gradients
        ((quantized * upstream).sum() + loss).backward()
        ((their_quantized * upstream).sum() + their_loss.sum()).backward()
        close(x.grad, array(y.grad), rtol=1e-4, atol=1e-5)
        close(ours.codebook.grad, array(theirs._codebook.embed.grad[0]), rtol=1e-4, atol=1e-6)
        for optimizer in optimizers:
            optimizer.step()
        close(ours.codebook, array(theirs.codebook), rtol=1e-3, atol=1e-4)


@both_axes
def test_the_ema_layer_stands_in_for_the_library_in_its_place(channel_last):
    shape = (2, 7, 4) if channel_last else (2, 4, 7)
    layers = [
        VectorQuantizerEMA(4, 5, channel_last=channel_last),
        VectorQuantizer(4, 5, channel_last=channel_last),
        library_layer(4, 5, 1, channel_last),
    ]
    for layer in layers:
        quantized, codes, loss = layer(normal(*shape, dtype=torch.float32))
        assert quantized.shape == shape and codes.shape == (2, 7) and codes.dtype == torch.int64
        assert loss.numel() == 1 and layer.codebook.shape == (5, 4)
