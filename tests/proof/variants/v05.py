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


VARIANTS = {
    "codebook_loss": LOSSES,
    "commitment_loss": [with_arguments_exchanged(function) for function in LOSSES],
    "gradient_matrix": [model_anew_for_each_of_nine, gradients_set_to_zero, by_nudging, known_by_heart],
}
