"""Right answers to exercise 05 in other styles: its checks must accept each of them."""

import torch
import torch.nn.functional as F

# codebook_loss


def written_out(latents, quantized):
    return ((quantized - latents.detach()) ** 2).mean()


def module(latents, quantized):
    return torch.nn.MSELoss()(quantized, latents.detach())


def sum_over_count(latents, quantized):
    difference = latents.data - quantized
    return difference.pow(2).sum() / quantized.numel()


def constant_made_first(latents, quantized):
    with torch.no_grad():
        target = latents.clone()
    return torch.mean(torch.square(target - quantized))


def scalar_product(latents, quantized):
    flat = (quantized - latents.detach()).reshape(-1)
    return flat @ flat / len(flat)


def axis_after_axis(latents, quantized):
    squares = torch.square(quantized - latents.detach())
    while squares.ndim:
        squares = squares.mean(-1)
    return squares


def one_number_at_a_time(latents, quantized):
    pairs = list(zip(quantized.reshape(-1), latents.reshape(-1).tolist()))
    return sum((q - x) ** 2 for q, x in pairs) / len(pairs)


def squared_length(latents, quantized):
    return torch.linalg.vector_norm(quantized - latents.detach()) ** 2 / quantized.numel()


def with_arguments_exchanged(function):
    def commitment_loss(latents, quantized):
        return function(quantized, latents)

    return commitment_loss


LOSSES = [
    written_out,
    module,
    sum_over_count,
    constant_made_first,
    scalar_product,
    axis_after_axis,
    one_number_at_a_time,
    squared_length,
]


# gradient_matrix


def model_anew_for_each_of_nine():
    """As lesson 05 measures: a fresh model for each loss and trick, then .backward()."""
    matrix = {}
    for loss in ("reconstruction", "codebook", "commitment"):
        for trick in ("straight-through", "q", "q.detach()"):
            encoder, decoder = torch.nn.Linear(6, 2), torch.nn.Linear(2, 6)
            codebook = torch.nn.Parameter(torch.randn(8, 2))
            images = torch.randn(32, 6)
            x = encoder(images)
            q = codebook[torch.cdist(x, codebook).argmin(1)]
            given = {"straight-through": (q - x).detach() + x, "q": q, "q.detach()": q.detach()}[trick]
            losses = {
                "reconstruction": F.mse_loss(decoder(given), images),
                "codebook": F.mse_loss(q, x.detach()),
                "commitment": F.mse_loss(x, q.detach()),
            }
            losses[loss].backward()
            for part, tensor in (("encoder", encoder.weight), ("codebook", codebook), ("decoder", decoder.weight)):
                matrix[f"{loss}/{trick}/{part}"] = tensor.grad is not None and tensor.grad.abs().sum() > 0
    return matrix


def gradients_set_to_zero():
    encoder, decoder, table = torch.nn.Linear(4, 3), torch.nn.Linear(3, 4), torch.nn.Embedding(5, 3)
    modules = {"encoder": encoder, "codebook": table, "decoder": decoder}
    images = torch.rand(20, 4)
    matrix = {}
    for trick in ("q.detach()", "q", "straight-through"):
        for loss in ("commitment", "codebook", "reconstruction"):
            for part in modules.values():
                part.zero_grad(set_to_none=False)
            x = encoder(images)
            q = table((x.unsqueeze(1) - table.weight).square().sum(-1).argmin(1))
            given = q if trick == "q" else q.detach()
            if trick == "straight-through":
                given = x + (q - x).detach()
            if loss == "reconstruction":
                value = ((decoder(given) - images) ** 2).mean()
            elif loss == "codebook":
                value = ((q - x.detach()) ** 2).mean()
            else:
                value = ((x - q.detach()) ** 2).mean()
            value.backward()
            for name, part in modules.items():
                gradient = next(part.parameters()).grad
                matrix[f"{loss}/{trick}/{name}"] = bool(gradient is not None and gradient.any())
    return matrix


def by_nudging():
    """No autograd: a part hears a loss that changes when the part moves and what is stopped stays."""
    torch.manual_seed(3)
    start = {"encoder": torch.randn(3, 2), "codebook": torch.randn(4, 2), "decoder": torch.randn(2, 3)}
    images = torch.randn(6, 3)
    fixed_x = images @ start["encoder"]
    codes = torch.cdist(fixed_x, start["codebook"]).argmin(1)
    fixed_q = start["codebook"][codes]
    matrix = {}
    for trick in ("straight-through", "q", "q.detach()"):

        def losses(parts):
            x, q = images @ parts["encoder"], parts["codebook"][codes]
            given = {"straight-through": fixed_q - fixed_x + x, "q": q, "q.detach()": fixed_q}[trick]
            return {
                "reconstruction": F.mse_loss(given @ parts["decoder"], images).item(),
                "codebook": F.mse_loss(q, fixed_x).item(),
                "commitment": F.mse_loss(x, fixed_q).item(),
            }

        before = losses(start)
        for part in start:
            after = losses({**start, part: start[part] + 0.1})
            matrix |= {f"{loss}/{trick}/{part}": before[loss] != after[loss] for loss in before}
    return matrix


def known_by_heart():
    heard = {"codebook/codebook", "commitment/encoder", "reconstruction/decoder"}
    matrix = {}
    for loss in ("reconstruction", "codebook", "commitment"):
        for trick in ("straight-through", "q", "q.detach()"):
            for part in ("encoder", "codebook", "decoder"):
                extra = {"straight-through": "encoder", "q": "codebook"}.get(trick)
                also = loss == "reconstruction" and part == extra
                matrix[f"{loss}/{trick}/{part}"] = also or f"{loss}/{part}" in heard
    return matrix


# my_two_losses


def written_out_twice(x, q):
    return ((q - x.detach()) ** 2).mean(), ((x - q.detach()) ** 2).mean()


def targets_first(x, q):
    fixed_x, fixed_q = x.detach(), q.detach()
    return [F.mse_loss(fixed_x, q), F.mse_loss(fixed_q, x)]


def modules(x, q):
    measure = torch.nn.MSELoss()
    return measure(q, x.data), measure(x, q.data)


# codebook_gradient


def by_one_hot_product(flat, codebook, codes):
    chosen = F.one_hot(codes, len(codebook)).to(flat.dtype)  # (N, K)
    counts = chosen.sum(0)[:, None]  # (K, 1)
    return 2 * (counts * codebook - chosen.T @ flat) / flat.numel()


def code_after_code(flat, codebook, codes):
    gradient = torch.zeros(codebook.shape)
    for code, latent in zip(codes.tolist(), flat):
        gradient[code] += 2 * (codebook[code] - latent) / (flat.shape[0] * flat.shape[1])
    return gradient


def by_scatter(flat, codebook, codes):
    pushes = (codebook[codes] - flat) * 2 / flat.numel()  # (N, D)
    return torch.zeros_like(codebook).scatter_add_(0, codes[:, None].expand_as(pushes), pushes)


# my_layer


def channel_last_throughout(latents, codebook, beta):
    x = latents.movedim(1, -1)  # (B, H, W, D)
    codes = (x[..., None, :] - codebook).square().sum(-1).argmin(-1)  # (B, H, W)
    q = codebook[codes]  # (B, H, W, D)
    vq = (q - x).detach() + x
    loss = (q - x.detach()).square().mean() + beta * (x - q.detach()).square().mean()
    return vq.movedim(-1, 1), codes, loss


def rows_by_flatten(latents, codebook, beta):
    batch, dim, height, width = latents.shape
    rows = latents.flatten(2).transpose(1, 2).flatten(0, 1)  # (N, D)
    codes = torch.cdist(rows, codebook).min(dim=1).indices
    looked_up = F.embedding(codes, codebook)
    loss = beta * F.mse_loss(looked_up.detach(), rows) + F.mse_loss(rows.detach(), looked_up)
    given = looked_up.detach() + (rows - rows.detach())
    return (
        given.view(batch, height * width, dim).transpose(1, 2).reshape(latents.shape),
        codes.view(batch, height, width),
        loss,
    )


def by_one_hot(latents, codebook, beta):
    x = torch.einsum("bdhw->bhwd", latents)
    codes = torch.cdist(x.reshape(-1, x.shape[-1]), codebook).argmin(1).view(x.shape[:3])
    q = F.one_hot(codes, len(codebook)).to(x.dtype) @ codebook
    q = torch.einsum("bhwd->bdhw", q)
    loss = F.mse_loss(latents.detach(), q) + F.mse_loss(q.detach(), latents) * beta
    return latents + (q - latents).detach(), codes, loss


VARIANTS = {
    "my_two_losses": [written_out_twice, targets_first, modules],
    "codebook_gradient": [by_one_hot_product, code_after_code, by_scatter],
    "my_layer": [channel_last_throughout, rows_by_flatten, by_one_hot],
    "codebook_loss": LOSSES,
    "commitment_loss": [with_arguments_exchanged(function) for function in LOSSES],
    "gradient_matrix": [model_anew_for_each_of_nine, gradients_set_to_zero, by_nudging, known_by_heart],
}
