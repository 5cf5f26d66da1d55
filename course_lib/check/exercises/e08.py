"""Exercise 08: the slides' quantising layer, for any number of leading axes."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from course_lib.check.exercises.drawing import normal, scattered
from course_lib.check.judge import Exercise, Mistake, Observation
from course_lib.check.observe import Call, _pattern


def draw(generator: Generator) -> list[Call]:
    def call(x, codebook_size, part="values", **more):
        sizes = {"codebook_size": codebook_size, "dim": x.shape[-1]}
        settings = {"watch": "codebook", "differentiate": (0,)} | more
        return Call((x,), ("x",), ("vq", "codes", "loss"), part, build=sizes, **settings)

    def latents(*shape, codes):
        return _away_from_borders(generator, normal(generator, *shape), codes)

    return [
        call(latents(5, 2, codes=4), 4),
        call(latents(2, 3, 4, codes=7), 7, part="more axes", elsewhere=True),
        call(latents(2, 3, 5, 3, codes=6), 6, part="more axes"),
        call(latents(2, 3, 2, 2, 4, codes=5), 5, part="more axes"),
        call(latents(6, codes=8), 8, part="one vector"),
        call(latents(1, 3, codes=1), 1, part="odd sizes"),
        call(latents(4, 5, 1, codes=3), 3, part="odd sizes"),
        call(latents(30, 30, codes=40), 40, part="odd sizes", training=False),
        call(scattered(latents(4, 2, 3, codes=3)), 3, part="odd sizes"),
        call(latents(3, 4, 2, codes=5), 5, part="a second call", warm=1),
        call(normal(generator, 5, 8), 20, part="start", fill=False, differentiate=()),
    ]


def _away_from_borders(generator: Generator, x: Tensor, codebook_size: int) -> Tensor:
    """Draws those vectors anew that lie almost as near to a second code: there, rounding would decide."""
    codebook = _pattern((codebook_size, x.shape[-1])).double()  # what `observe` fills the parameter with
    while codebook_size > 1:
        distances = (x.double().unsqueeze(-2) - codebook).square().sum(-1)  # (..., K)
        nearest, second = distances.topk(2, dim=-1, largest=False).values.unbind(-1)  # (...)
        near = second - nearest < 1e-3  # (...)
        if not near.any():
            break
        x = torch.where(near.unsqueeze(-1), normal(generator, *x.shape), x)
    return x


def at_its_start(call: Call, seen: Observation) -> Observation:
    """As the class made it, a codebook may be any whose codes differ. Without parameters, nothing else counts."""
    if seen.get("parameters") == "none":
        return {"parameters": "none"}  # numbers drawn at random then: no two such answers agree
    del seen["layer found"]  # the layer is the answer itself
    if call.fill:
        return seen
    codebook = seen.get("attribute codebook")
    seen = {key: seen[key] for key in ("parameters", "kind of result")}
    if isinstance(codebook, Tensor) and codebook.ndim == 2:
        different = len(codebook.unique(dim=0)) if codebook.isfinite().all() else 0
        seen["codes that differ from each other at the start"] = f"{different} of {len(codebook)}"
    return seen


# ----------------------------------------------------------------------------------------------------------------------
# The reference, and wrong answers as changes to it


def choose(x: Tensor, codebook: Tensor) -> Tensor:
    """(..., D), (K, D) -> the nearest codes (...)."""
    return torch.cdist(x.reshape(-1, x.shape[-1]), codebook).argmin(-1).reshape(x.shape[:-1])


def both_losses(x: Tensor, quantized: Tensor) -> Tensor:
    return F.mse_loss(x, quantized.detach()) + F.mse_loss(quantized, x.detach())


class VectorQuantize(nn.Module):
    def __init__(self, *, codebook_size, dim):
        super().__init__()
        self.codebook = nn.Parameter(torch.rand(codebook_size, dim))

    def forward(self, x):
        codes = choose(x, self.codebook)
        quantized = self.codebook[codes]
        return x + (quantized - x).detach(), codes, both_losses(x, quantized)


class StraightThroughFirst(VectorQuantize):
    def forward(self, x):
        codes = choose(x, self.codebook)
        quantized = x + (self.codebook[codes] - x).detach()
        return quantized, codes, both_losses(x, quantized)


class NoStraightThrough(VectorQuantize):
    def forward(self, x):
        codes = choose(x, self.codebook)
        return self.codebook[codes], codes, both_losses(x, self.codebook[codes])


class QuantizedDetached(VectorQuantize):
    def forward(self, x):
        vq, codes, loss = super().forward(x)
        return vq.detach(), codes, loss


class OtherTermDetached(VectorQuantize):
    def forward(self, x):
        _, codes, loss = super().forward(x)
        return (self.codebook[codes] - x) + x.detach(), codes, loss


class RolesSwapped(VectorQuantize):
    def forward(self, x):
        _, codes, loss = super().forward(x)
        quantized = self.codebook[codes]
        return (x - quantized).detach() + quantized, codes, loss


class CommitmentAlone(VectorQuantize):
    def forward(self, x):
        vq, codes, _ = super().forward(x)
        return vq, codes, F.mse_loss(x, self.codebook[codes].detach())


class CodebookLossAlone(VectorQuantize):
    def forward(self, x):
        vq, codes, _ = super().forward(x)
        return vq, codes, F.mse_loss(self.codebook[codes], x.detach())


class BothForTheEncoder(VectorQuantize):
    def forward(self, x):
        vq, codes, _ = super().forward(x)
        return vq, codes, 2 * F.mse_loss(x, self.codebook[codes].detach())


class BothForTheCodebook(VectorQuantize):
    def forward(self, x):
        vq, codes, _ = super().forward(x)
        return vq, codes, 2 * F.mse_loss(self.codebook[codes], x.detach())


class CommitmentHeardByBoth(VectorQuantize):
    def forward(self, x):
        vq, codes, _ = super().forward(x)
        quantized = self.codebook[codes]
        return vq, codes, F.mse_loss(x, quantized) + F.mse_loss(quantized, x.detach())


class CodebookLossHeardByBoth(VectorQuantize):
    def forward(self, x):
        vq, codes, _ = super().forward(x)
        quantized = self.codebook[codes]
        return vq, codes, F.mse_loss(x, quantized.detach()) + F.mse_loss(quantized, x)


class NothingStopped(VectorQuantize):
    def forward(self, x):
        vq, codes, _ = super().forward(x)
        return vq, codes, 2 * F.mse_loss(x, self.codebook[codes])


class OneTermForBoth(VectorQuantize):
    def forward(self, x):
        vq, codes, _ = super().forward(x)
        return vq, codes, F.mse_loss(x, self.codebook[codes])


class VqAgainstQuantized(VectorQuantize):
    def forward(self, x):
        vq, codes, _ = super().forward(x)
        return vq, codes, both_losses(vq, self.codebook[codes])


class CodebookDetached(VectorQuantize):
    def forward(self, x):
        vq, codes, _ = super().forward(x)
        return vq, codes, both_losses(x, self.codebook.detach()[codes])


class Added(VectorQuantize):
    def forward(self, x):
        vq, codes, loss = super().forward(x)
        return vq, codes, loss * x.numel()


class AddedOverDimension(VectorQuantize):
    def forward(self, x):
        vq, codes, loss = super().forward(x)
        return vq, codes, loss * x.shape[-1]


class Weighted(VectorQuantize):
    def forward(self, x):
        vq, codes, _ = super().forward(x)
        quantized = self.codebook[codes]
        return vq, codes, 0.25 * F.mse_loss(x, quantized.detach()) + F.mse_loss(quantized, x.detach())


class CodesFlat(VectorQuantize):
    def forward(self, x):
        vq, codes, loss = super().forward(x)
        return vq, codes.reshape(-1), loss


class Squeezed(VectorQuantize):
    def forward(self, x):
        vq, codes, loss = super().forward(x)
        return vq, codes.squeeze(), loss


class AllFlat(VectorQuantize):
    def forward(self, x):
        return super().forward(x.reshape(-1, x.shape[-1]))


class Farthest(VectorQuantize):
    def forward(self, x):
        codes = torch.cdist(x.reshape(-1, x.shape[-1]), self.codebook).argmax(-1).reshape(x.shape[:-1])
        quantized = self.codebook[codes]
        return x + (quantized - x).detach(), codes, both_losses(x, quantized)


class LargestProduct(VectorQuantize):
    def forward(self, x):
        codes = (x @ self.codebook.T).argmax(-1)
        quantized = self.codebook[codes]
        return x + (quantized - x).detach(), codes, both_losses(x, quantized)


class NotAParameter(VectorQuantize):
    def __init__(self, *, codebook_size, dim):
        super().__init__(codebook_size=codebook_size, dim=dim)
        codebook = self.codebook.data
        del self.codebook
        self.codebook = codebook


class IsEmbedding(nn.Module):
    def __init__(self, *, codebook_size, dim):
        super().__init__()
        self.codebook = nn.Embedding(codebook_size, dim)

    def forward(self, x):
        codes = choose(x, self.codebook.weight)
        quantized = self.codebook(codes)
        return x + (quantized - x).detach(), codes, both_losses(x, quantized)


class CodebookTurned(VectorQuantize):
    def __init__(self, *, codebook_size, dim):
        super().__init__(codebook_size=dim, dim=codebook_size)

    def forward(self, x):
        codes = choose(x, self.codebook.T)
        quantized = self.codebook.T[codes]
        return x + (quantized - x).detach(), codes, both_losses(x, quantized)


class RowsOnly(VectorQuantize):
    def forward(self, x):
        codes = (x[:, None] - self.codebook).square().sum(-1).argmin(1)
        quantized = self.codebook[codes]
        return x + (quantized - x).detach(), codes, both_losses(x, quantized)


class ThreeAxesOnly(VectorQuantize):
    def forward(self, x):
        _, _, _ = x.shape
        return super().forward(x)


class NotASingleVector(VectorQuantize):
    def forward(self, x):
        codes = torch.cdist(x, self.codebook).argmin(-1)
        quantized = self.codebook[codes]
        return x + (quantized - x).detach(), codes, both_losses(x, quantized)


class FlattenedToMinusTwo(VectorQuantize):
    def forward(self, x):
        codes = torch.cdist(x.flatten(0, -2), self.codebook).argmin(-1).reshape(x.shape[:-1])
        quantized = self.codebook[codes]
        return x + (quantized - x).detach(), codes, both_losses(x, quantized)


class AxisKept(VectorQuantize):
    def forward(self, x):
        codes = (x.unsqueeze(-2) - self.codebook).square().sum(-1).argmin(-1, keepdim=True)
        quantized = self.codebook[codes]  # (..., 1, D); mse_loss would warn of what follows
        loss = (x - quantized.detach()).square().mean() + (quantized - x.detach()).square().mean()
        return x + (quantized - x).detach(), codes, loss


class AxisKeptByCodes(VectorQuantize):
    def forward(self, x):
        vq, codes, loss = super().forward(x)
        return vq, codes.unsqueeze(-1), loss


class ViewOfTurnedMemory(VectorQuantize):
    def forward(self, x):
        x.view(-1, x.shape[-1])
        return super().forward(x)


class LossBeforeCodes(VectorQuantize):
    def forward(self, x):
        vq, codes, loss = super().forward(x)
        return vq, loss, codes


class LossFirst(VectorQuantize):
    def forward(self, x):
        vq, codes, loss = super().forward(x)
        return loss, vq, codes


class EqualAtTheStart(VectorQuantize):
    def __init__(self, *, codebook_size, dim):
        super().__init__(codebook_size=codebook_size, dim=dim)
        nn.init.zeros_(self.codebook)


MISTAKES = (
    Mistake(
        StraightThroughFirst,
        "the losses were computed from what straight-through gives: in it, the codebook is behind a detach and hears "
        "nothing. They need the vectors as they were looked up",
        "zoo 11",
    ),
    Mistake(
        NoStraightThrough,
        "vq has the right values, but is q itself: its gradient goes to the codebook, and the encoder gets none. If q "
        "- x is added to x, then as a constant",
        "zoo 25",
    ),
    Mistake(QuantizedDetached, "nobody gets a gradient from vq: one x must be left in it that autograd sees", "zoo 25"),
    Mistake(
        OtherTermDetached,
        "the wrong term of vq is detached: q - x passes the gradient, to q as it is and to x with its sign turned",
        "zoo 21",
    ),
    Mistake(RolesSwapped, "x and q have changed places in vq: its value is x, and its gradient goes to q", "common"),
    Mistake(
        CommitmentAlone,
        "the loss has one term, which pulls the encoder to the codes; the term that pulls the codes to the encoder is "
        "missing",
        "zoo 11",
    ),
    Mistake(
        CodebookLossAlone,
        "the loss has one term, which pulls the codes to the encoder; the term that pulls the encoder to the codes is "
        "missing",
        "common",
    ),
    Mistake(
        BothForTheEncoder,
        "the loss has the right value, but both terms stop the gradient on the side of q: the codebook hears nothing, "
        "and the encoder everything twice",
        "zoo 12",
    ),
    Mistake(
        BothForTheCodebook,
        "the loss has the right value, but both terms stop the gradient on the side of x: the encoder hears nothing, "
        "and the codebook everything twice",
        "zoo 12",
    ),
    Mistake(
        CommitmentHeardByBoth,
        "the loss has the right value, and the codebook hears it twice: in the term that is the encoder's, q is to be "
        "a constant",
        "mutation",
    ),
    Mistake(
        CodebookLossHeardByBoth,
        "the loss has the right value, and the encoder hears it twice: in the term that is the codebook's, x is to be "
        "a constant",
        "mutation",
    ),
    Mistake(
        NothingStopped,
        "the loss has the right value, but twice the gradients: each term is to be heard by one side alone",
        "zoo 12",
    ),
    Mistake(
        OneTermForBoth,
        "the gradients are right and the loss is half of what was asked for: one term, heard by both sides, stands for"
        " two",
        "common",
    ),
    Mistake(
        VqAgainstQuantized,
        "the loss is 0 for all inputs: vq and q have the same value. Compare q with what came in",
        "common",
    ),
    Mistake(
        CodebookDetached,
        "the loss has the right value, but the codebook hears nothing of it: somewhere between the look-up and the loss "
        "it was detached",
        "zoo 12",
    ),
    Mistake(Added, "the squares were added up over all numbers; mse_loss takes their mean", "zoo 20"),
    Mistake(
        AddedOverDimension,
        "the squares were added up over dim, and averaged over the vectors alone: mse_loss takes the mean over all "
        "numbers",
        "zoo 20",
    ),
    Mistake(
        Weighted, "the commitment term has a weight here, 0.25 as in the paper; the slides' loss has none", "lesson 08"
    ),
    Mistake(CodesFlat, "codes have the leading axes of x, x.shape[:-1]; these are flat", "common"),
    Mistake(
        Squeezed, "squeeze() without dim drops every axis of length 1, that of a batch of one among them", "mutation"
    ),
    Mistake(AllFlat, "vq and codes have lost the leading axes of x: give them back after the look-up", "zoo 4"),
    Mistake(Farthest, "argmax of the distances picks the farthest code", "zoo 1"),
    Mistake(LargestProduct, "the largest scalar product is not the smallest distance: long codes win it", "common"),
    Mistake(
        NotAParameter,
        "the module has no parameters, so an optimiser does not find the codebook: an attribute that is to learn is an "
        "nn.Parameter",
        "common",
    ),
    Mistake(
        IsEmbedding,
        "codebook is a whole nn.Embedding; it is the Parameter itself here, (codebook_size, dim), as in the worked layer",
        "common",
    ),
    Mistake(
        CodebookTurned, "the codebook is (dim, codebook_size): a code is a row here, (codebook_size, dim)", "lesson 06"
    ),
    Mistake(
        RowsOnly,
        "rows, (N, dim), are right; with other axes in front it fails. Which axis is counted from the left that should"
        " be counted from the right?",
        "common",
    ),
    Mistake(
        ThreeAxesOnly,
        "three axes are taken for granted: x may have none, one, or more in front of dim, and x.shape[:-1] names them "
        "all",
        "common",
    ),
    Mistake(
        NotASingleVector,
        "a single vector, x of shape (dim,), fails: cdist wants two axes at least. Bring every x to "
        "(N, dim) first, and N may be 1",
        "common",
    ),
    Mistake(
        FlattenedToMinusTwo,
        "flatten(0, -2) wants two axes at least, and a single vector has one: x.reshape(-1, x.shape[-1]) takes any",
        "common",
    ),
    Mistake(
        AxisKept,
        "argmin with keepdim=True leaves an axis of length 1 in the codes, so q has one more than x, and q - x is "
        "broadcast to every pair",
        "common",
    ),
    Mistake(
        AxisKeptByCodes,
        "the codes have an axis of length 1 at their end, as keepdim=True leaves it; their shape is x.shape[:-1]",
        "common",
    ),
    Mistake(
        ViewOfTurnedMemory,
        "latents whose axes were moved do not lie in memory in their order, and .view refuses them: which method "
        "copies where it has to?",
        "common",
    ),
    Mistake(LossBeforeCodes, "codes and loss have changed places: vq, codes, loss is the order", "common"),
    Mistake(
        LossFirst, "the loss comes first here, as in other well-known code: vq, codes, loss is the order", "common"
    ),
    Mistake(
        EqualAtTheStart,
        "codes that start equal get equal distances, argmin takes the first, and the others are never chosen",
        "lesson 08",
    ),
)


# ----------------------------------------------------------------------------------------------------------------------
# Where the loss pulls


def picture(axes, answer) -> None:
    """Twelve latents, four codes, and the way each goes when the loss is followed downhill."""
    generator = torch.Generator().manual_seed(3)
    codebook = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    x = (1.6 * torch.randn(12, 2, generator=generator)).requires_grad_()
    layer = answer(codebook_size=4, dim=2)
    with torch.no_grad():
        layer.codebook.copy_(codebook)
    _, codes, loss = layer(x)
    pulls = torch.autograd.grad(loss, (x, layer.codebook), materialize_grads=True)
    colours = [f"C{int(code)}" for code in codes.flatten()]
    axes.scatter(*x.detach().T, c=colours, s=25)
    axes.scatter(*codebook.T, c=[f"C{k}" for k in range(4)], marker="s", s=90, edgecolors="black")
    for points, pull in zip((x.detach(), codebook), pulls):
        axes.quiver(*points.T, *(-8 * pull).T, angles="xy", scale_units="xy", scale=1, width=0.006)
    axes.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal", xlabel="dots: latents, squares: codes, arrows: downhill")


EXERCISES = [
    Exercise(
        name="VectorQuantize",
        points=6,
        lesson="08_mnist_from_scratch",
        reference=VectorQuantize,
        draw=draw,
        view=at_its_start,
        picture=picture,
        mistakes=MISTAKES,
        hints=(
            "For x of shape (2, 3, 5, dim): which shapes have the distances, the codes, the looked-up vectors, vq? And"
            " for x of shape (dim,)? Which of your lines needs to know how many axes there are?",
            "Only the choice of the codes does. Make rows of x, (N, dim), choose a code for each, and give the codes "
            "the shape x.shape[:-1]: indexing the codebook with them gives (..., dim) by itself, and so do the losses "
            "and straight-through, element by element.",
            "rows = x.reshape(-1, x.shape[-1]); codes = (the nearest code of each row), reshaped to x.shape[:-1]; look"
            " them up; vq = x + a constant; loss = two mse terms of the same two tensors, a different one of the two is held "
            "constant in each",
        ),
    )
]
