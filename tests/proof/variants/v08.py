"""Right answers to exercise 08, each written its own way: the check must take them all."""

import torch
import torch.nn.functional as F
from torch import nn


class Base(nn.Module):
    def __init__(self, *, codebook_size, dim):
        super().__init__()
        self.codebook_size, self.dim = codebook_size, dim
        self.codebook = nn.Parameter(torch.rand(codebook_size, dim))


class ByBroadcasting(Base):
    """No flattening at all: the axis of the codes comes second to last."""

    def forward(self, x):
        codes = (x.unsqueeze(-2) - self.codebook).pow(2).sum(-1).argmin(-1)
        q = self.codebook[codes]
        commitment = (x - q.detach()).pow(2).mean()
        codebook = (q - x.detach()).pow(2).mean()
        return (q - x).detach() + x, codes, commitment + codebook


class ByOneHot(Base):
    """The expanded square, and a product with one-hot rows."""

    def forward(self, x):
        flat = x.reshape(-1, self.dim)
        distances = flat.pow(2).sum(1, keepdim=True) - 2 * flat @ self.codebook.t() + self.codebook.pow(2).sum(1)
        encodings = torch.zeros(len(flat), self.codebook_size, device=x.device)
        encodings.scatter_(1, distances.argmin(1, keepdim=True), 1)
        quantized = (encodings @ self.codebook).reshape(x.shape)
        loss = F.mse_loss(quantized.detach(), x) + F.mse_loss(quantized, x.detach())
        quantized = x + (quantized - x).detach()
        return quantized, encodings.argmax(1).reshape(x.shape[:-1]), loss


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, q):
        return q.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class ByAFunction(Base):
    """A function of autograd for straight-through, an embedding's look-up, a list instead of a tuple."""

    def forward(self, x):
        with torch.no_grad():
            rows = x.reshape(-1, x.size(-1)) if x.dim() != 2 else x
            codes = torch.cdist(rows, self.codebook, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1).indices
            codes = codes.reshape(x.shape[:-1])
        q = F.embedding(codes, self.codebook)
        return [StraightThrough.apply(x, q), codes, F.mse_loss(q, x.detach()) + F.mse_loss(x, q.detach())]


class ByLoops(Base):
    """Plain numbers, as somebody writes who distrusts broadcasting. A normal start."""

    def __init__(self, codebook_size, dim):
        super().__init__(codebook_size=codebook_size, dim=dim)
        nn.init.normal_(self.codebook)

    def forward(self, x):
        codebook, codes = self.codebook.tolist(), []
        for row in x.reshape(-1, self.dim).tolist():
            distances = [sum((a - b) ** 2 for a, b in zip(row, code)) for code in codebook]
            codes.append(distances.index(min(distances)))
        codes = torch.tensor(codes, device=x.device).reshape(x.shape[:-1])
        q = torch.index_select(self.codebook, 0, codes.flatten()).view(*x.shape)
        difference = 0
        for one, other in ((x, q.data), (x.data, q)):
            difference = difference + ((one - other) ** 2).sum() / x.numel()
        return x + q.data - x.data, codes, difference


class WithAnEmbedding(nn.Module):
    """The parameter lies in an nn.Embedding; `codebook` gives it out."""

    def __init__(self, *, codebook_size, dim):
        super().__init__()
        self.embedding = nn.Embedding(codebook_size, dim)
        nn.init.uniform_(self.embedding.weight, -1 / codebook_size, 1 / codebook_size)

    @property
    def codebook(self):
        return self.embedding.weight

    def forward(self, x):
        *leading, dim = x.shape
        similarity = torch.einsum("nd,kd->nk", x.reshape(-1, dim), self.codebook)
        codes = (2 * similarity - self.codebook.square().sum(-1)).argmax(-1).reshape(leading)
        q = self.embedding(codes)
        return (q - x).detach() + x, codes, F.mse_loss(x, q.detach()) + F.mse_loss(x.detach(), q)


class StopsExchanged(Base):
    """Each stop-gradient in the other term: the sum of the two is the same."""

    def forward(self, x):
        distances = torch.linalg.vector_norm(x[..., None, :] - self.codebook, dim=-1)
        codes = distances.topk(1, largest=False).indices[..., 0]
        q = self.codebook[codes]
        commitment, codebook = F.mse_loss(q, x.detach()), F.mse_loss(q.detach(), x)
        return x - (x - q).detach(), codes, commitment + codebook


def forward_by_broadcasting(x, codebook):
    codes = (x[:, :, None] - codebook).pow(2).sum(-1).argmin(-1)
    q = codebook[codes]
    return (q - x).detach() + x, codes, (x - q.detach()).pow(2).mean() + (q - x.detach()).pow(2).mean()


def forward_by_rows(x, codebook):
    rows = x.reshape(-1, x.shape[-1])
    codes = (rows.pow(2).sum(1, keepdim=True) - 2 * rows @ codebook.T + codebook.pow(2).sum(1)).argmin(1)
    q = F.embedding(codes, codebook)
    loss = F.mse_loss(q.detach(), rows) + F.mse_loss(rows.detach(), q)
    return (rows + (q - rows).detach()).view_as(x), codes.view(x.shape[:-1]), loss


def forward_by_one_hot(x, codebook):
    codes = torch.cdist(x, codebook[None].expand(len(x), -1, -1)).argmin(-1)
    q = F.one_hot(codes, len(codebook)).to(x.dtype) @ codebook
    return x - (x - q).detach(), codes, F.mse_loss(x, q.detach()) + F.mse_loss(q, x.detach())


def winners_of_a_set(latents, codebook):
    return len({min(range(len(codebook)), key=lambda k: (row - codebook[k]).norm().item()) for row in latents})


def winners_by_bincount(latents, codebook):
    codes = (latents[:, None] - codebook).square().sum(2).argmin(1)
    return (torch.bincount(codes, minlength=len(codebook)) > 0).sum()


def winners_by_one_hot(latents, codebook):
    chosen = F.one_hot(torch.cdist(latents, codebook).argmin(1), len(codebook))
    return chosen.amax(0).sum().item()


VARIANTS = {
    "my_forward": [forward_by_broadcasting, forward_by_rows, forward_by_one_hot],
    "my_winners": [winners_of_a_set, winners_by_bincount, winners_by_one_hot],
    "VectorQuantize": [ByBroadcasting, ByOneHot, ByAFunction, ByLoops, WithAnEmbedding, StopsExchanged],
}
