"""Exercise 08: the slides' quantising layer, for any number of leading axes."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from course_lib.check.author import Call, Observation, exercise, normal, pattern, scattered


class VectorQuantize(nn.Module):
    """A quantising layer that learns by gradient: x (..., dim) float32 -> vq (..., dim), codes (...) int64, loss ().

    x may lie in any order in memory.
    `codebook`, a Parameter (codebook_size, dim), starts with numbers from torch.rand; the check
    asks only that its codes differ. Codes are the nearest ones. vq has their vectors' values, and
    its gradient goes to x alone. loss = commitment loss + codebook loss, both as `mse_loss`,
    without weights; the one is heard by x alone, the other by the codebook alone.
    """

    def __init__(self, *, codebook_size, dim):
        super().__init__()
        ### BEGIN SOLUTION
        self.codebook = nn.Parameter(torch.rand(codebook_size, dim))
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        flat = x.reshape(-1, x.shape[-1])  # (N, dim)
        codes = torch.cdist(flat, self.codebook).argmin(1).reshape(x.shape[:-1])  # (...)
        quantized = self.codebook[codes]  # (..., dim)
        vq = (quantized - x).detach() + x  # (..., dim)
        loss = F.mse_loss(x, quantized.detach()) + F.mse_loss(quantized, x.detach())
        return vq, codes, loss
        ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(x, codebook_size, part="values", **more):
        sizes = {"codebook_size": codebook_size, "dim": x.shape[-1]}
        settings = {"watch": "codebook", "differentiate": (0,)} | more
        return Call((x,), ("x",), ("vq", "codes", "loss"), part, build=sizes, **settings)

    def latents(*shape, codes):
        return away_from_borders(generator, normal(generator, *shape), codes)

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


def away_from_borders(generator: Generator, x: Tensor, codebook_size: int) -> Tensor:
    """Draws those vectors anew that lie almost as near to a second code: there, rounding would decide."""
    codebook = pattern((codebook_size, x.shape[-1])).double()  # what `observe` fills the parameter with
    while codebook_size > 1:
        distances = (x.double().unsqueeze(-2) - codebook).square().sum(-1)  # (..., K)
        nearest, second = distances.topk(2, dim=-1, largest=False).values.unbind(-1)  # (...)
        near = second - nearest < 1e-3  # (...)
        if not near.any():
            break
        x = torch.where(near.unsqueeze(-1), normal(generator, *x.shape), x)
    return x


def at_its_start(call: Call, observation: Observation) -> Observation:
    """As the class made it, a codebook may be any whose codes differ. Without parameters, nothing else counts."""
    if observation.get("parameters") == "none":
        return {"parameters": "none"}  # numbers drawn at random then: no two such answers agree
    del observation["layer found"]  # the layer is the answer itself
    if call.fill:
        return observation
    start = {key: observation[key] for key in ("parameters", "kind of result")}
    codebook = observation.get("attribute codebook")
    if isinstance(codebook, Tensor) and codebook.ndim == 2:
        different = len(codebook.unique(dim=0)) if codebook.isfinite().all() else 0
        start["codes that differ from each other at the start"] = f"{different} of {len(codebook)}"
    return start


WRONG = r"""
F.mse_loss(x, quantized.detach()) -> F.mse_loss(x, vq.detach())  # zoo 11
F.mse_loss(quantized, x.detach()) -> F.mse_loss(vq, x.detach())
    the losses were computed from what straight-through gives: in it, the codebook is behind a detach and hears
    nothing. They need the vectors as they were looked up
return quantized, codes, loss  # zoo 25
    vq has the right values, but is q itself: its gradient goes to the codebook, and the encoder gets none. If q - x is
    added to x, then as a constant
return vq.detach(), codes, loss  # zoo 25
    nobody gets a gradient from vq: one x must be left in it that autograd sees
(quantized - x).detach() + x -> (quantized - x) + x.detach()  # zoo 21
    the wrong term of vq is detached: q - x passes the gradient, to q as it is and to x with its sign turned
(quantized - x).detach() + x -> (x - quantized).detach() + quantized
    x and q have changed places in vq: its value is x, and its gradient goes to q
+ F.mse_loss(quantized, x.detach()) ->  # zoo 11
    the loss has one term, which pulls the encoder to the codes; the term that pulls the codes to the encoder is
    missing
F.mse_loss(x, quantized.detach()) + ->
    the loss has one term, which pulls the codes to the encoder; the term that pulls the encoder to the codes is
    missing
(quantized, x.detach()) -> (quantized.detach(), x)  # zoo 12
    the loss has the right value, but both terms stop the gradient on the side of q: the codebook hears nothing, and
    the encoder everything twice
(x, quantized.detach()) -> (x.detach(), quantized)  # zoo 12
    the loss has the right value, but both terms stop the gradient on the side of x: the encoder hears nothing, and the
    codebook everything twice
(x, quantized.detach()) -> (x, quantized)  # mutation
    the loss has the right value, and the codebook hears it twice: in the term that is the encoder's, q is to be a
    constant
(quantized, x.detach()) -> (quantized, x)  # mutation
    the loss has the right value, and the encoder hears it twice: in the term that is the codebook's, x is to be a
    constant
(x, quantized.detach()) -> (x, quantized)  # zoo 12
(quantized, x.detach()) -> (quantized, x)
    the loss has the right value, but twice the gradients: each term is to be heard by one side alone
F.mse_loss(x, quantized.detach()) + F.mse_loss(quantized, x.detach()) -> F.mse_loss(x, quantized)
    the gradients are right and the loss is half of what was asked for: one term, heard by both sides, stands for two
(x, quantized.detach()) -> (vq, quantized.detach())
(quantized, x.detach()) -> (quantized, vq.detach())
    the loss is 0 for all inputs: vq and q have the same value. Compare q with what came in
self.codebook[codes] -> self.codebook.detach()[codes]  # zoo 12
    the loss has the right value, but the codebook hears nothing of it: somewhere between the look-up and the loss it
    was detached
(x, quantized.detach()) -> (x, quantized.detach(), reduction="sum")  # zoo 20
(quantized, x.detach()) -> (quantized, x.detach(), reduction="sum")
    the squares were added up over all numbers; mse_loss takes their mean
return vq, codes, loss * x.shape[-1]  # zoo 20
    the squares were added up over dim, and averaged over the vectors alone: mse_loss takes the mean over all numbers
F.mse_loss(x, quantized.detach()) -> 0.25 * F.mse_loss(x, quantized.detach())  # lesson 08
    the commitment term has a weight here, 0.25 as in the paper; the slides' loss has none
return vq, codes.flatten(), loss
    codes have the leading axes of x, x.shape[:-1]; these are flat
return vq, codes.squeeze(), loss  # mutation
    squeeze() without dim drops every axis of length 1, that of a batch of one among them
flat = x.reshape -> flat = x = x.reshape  # zoo 4
    vq and codes have lost the leading axes of x: give them back after the look-up
.argmin -> .argmax  # zoo 1
    argmax of the distances picks the farthest code
torch.cdist(flat, self.codebook).argmin -> (flat @ self.codebook.T).argmax
    the largest scalar product is not the smallest distance: long codes win it
nn.Parameter(torch.rand(codebook_size, dim)) -> torch.rand(codebook_size, dim)
    the module has no parameters, so an optimiser does not find the codebook: what is to learn is made in __init__, as
    an nn.Parameter on self
nn.Parameter(torch.rand(codebook_size, dim)) -> nn.Embedding(codebook_size, dim)
cdist(flat, self.codebook) -> cdist(flat, self.codebook.weight)
self.codebook[codes] -> self.codebook(codes)
    codebook is a whole nn.Embedding; it is the Parameter itself here, (codebook_size, dim), as in the worked layer
rand(codebook_size, dim) -> rand(dim, codebook_size)  # lesson 06
cdist(flat, self.codebook) -> cdist(flat, self.codebook.T)
self.codebook[codes] -> self.codebook.T[codes]
    the codebook is (dim, codebook_size): a code is a row here, (codebook_size, dim)
torch.cdist(flat, self.codebook) -> (x[:, None] - self.codebook).square().sum(-1)
.argmin(1).reshape(x.shape[:-1]) -> .argmin(1)
    rows, (N, dim), are right; with other axes in front it fails. Which axis is counted from the left that should be
    counted from the right?
flat = x.reshape -> _, _, _ = x.shape\nflat = x.reshape
    three axes are taken for granted: x may have none, one, or more in front of dim, and x.shape[:-1] names them all
cdist(flat, self.codebook).argmin(1).reshape(x.shape[:-1]) -> cdist(x, self.codebook).argmin(-1)
    a single vector, x of shape (dim,), fails: cdist wants two axes at least. Bring every x to (N, dim) first, and N may
    be 1
x.reshape(-1, x.shape[-1]) -> x.flatten(0, -2)
    flatten(0, -2) wants two axes at least, and a single vector has one: x.reshape(-1, x.shape[-1]) takes any
torch.cdist(flat, self.codebook) -> (x.unsqueeze(-2) - self.codebook).square().sum(-1)
.argmin(1).reshape(x.shape[:-1]) -> .argmin(-1, keepdim=True)
    argmin with keepdim=True leaves an axis of length 1 in the codes, so q has one more than x, and q - x is broadcast
    to every pair
return vq, codes.unsqueeze(-1), loss
    the codes have an axis of length 1 at their end, as keepdim=True leaves it; their shape is x.shape[:-1]
x.reshape( -> x.view(
    latents whose axes were moved do not lie in memory in their order, and .view refuses them: which method copies
    where it has to?
return vq, loss, codes
    codes and loss have changed places: vq, codes, loss is the order
return loss, vq, codes
    the loss comes first here, as in other well-known code: vq, codes, loss is the order
torch.rand( -> torch.zeros(  # lesson 08
    codes that start equal get equal distances, argmin takes the first, and the others are never chosen
(quantized - x).detach() + x -> quantized + x - x.detach()
    vq has two gradients: x gets its own, and q, as it was looked up, hands one to the codebook as well. Of the three
    terms only one is to be heard
return codes, vq, loss
    the codes come first here: vq, codes, loss is the order
rand(codebook_size, dim) -> rand(dim, codebook_size)
    the codebook was made as (dim, codebook_size) and is used as if each code were a row: what do two neighbours in
    memory belong to?
rand(codebook_size, dim) -> rand(dim, codebook_size)
torch.cdist(flat, self.codebook) -> (flat[:, None] - self.codebook).square().sum(-1)
    the codebook was made as (dim, codebook_size): its rows are not codes, so no latent can be compared with them
"""


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


EXERCISE = exercise(
    VectorQuantize,
    lesson="08_mnist_from_scratch",
    points=6,
    draw=draw,
    wrong=WRONG,
    view=at_its_start,
    picture=picture,
    hints=(
        "For x of shape (2, 3, 5, dim): which shapes have the distances, the codes, the looked-up vectors, vq? And for "
        "x of shape (dim,)? Which of your lines needs to know how many axes there are?",
        "Only the choice of the codes does. Make rows of x, (N, dim), choose a code for each, and give the codes the "
        "shape x.shape[:-1]: indexing the codebook with them gives (..., dim) by itself, and so do the losses and "
        "straight-through, element by element.",
        "rows = x.reshape(-1, x.shape[-1]); codes = (the nearest code of each row), reshaped to x.shape[:-1]; look "
        "them up; vq = x + a constant; loss = two mse terms of the same two tensors, a different one of the two is "
        "held constant in each",
    ),
)
