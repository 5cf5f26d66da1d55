"""Exercise 15: hide one position of each image."""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise, normal


def bug_06(latents, positions):
    """latents (B, D, H, W), positions (B,) int64, counted row by row -> masked latents (B, D, H, W), a copy.

    In image b the whole vector at positions[b] is 0. Works wherever the latents lie: on the CPU or on any GPU.
    """
    batch, _, height, width = latents.shape
    ### BEGIN SOLUTION
    masks = torch.ones(batch, height * width, device=latents.device)  # (B, H W)
    ### END SOLUTION
    masks[torch.arange(batch), positions] = 0
    return latents * masks.reshape(batch, 1, height, width)


def draw(generator: Generator) -> list[Call]:
    def call(*shape, part="values", dtype=torch.float32, **more):
        latents = normal(generator, *shape).to(dtype)
        positions = torch.randint(0, shape[2] * shape[3], shape[:1], generator=generator)
        return Call((latents, positions), ("latents", "positions"), ("masked",), part, **more)

    odd = [call(*shape, part="odd sizes") for shape in ((1, 2, 1, 1), (4, 1, 2, 5), (5, 3, 4, 2))]
    plain = call(3, 2, 2, 3, part="devices", elsewhere=True)
    return [plain, call(2, 3, 3, 2), *odd, call(2, 3, 3, 3, part="dtypes", dtype=torch.float64)]


WRONG = r"""
batch, _ -> device = "cuda" if torch.cuda.is_available() else "cpu"\nbatch, _  # zoo 6, planted
device=latents.device -> device=device
    the values are right; the masks lie where the machine says, or a kind of device, and not where the latents are.
    Which tensor does the program make, and from whom does it get its place?
, device=latents.device ->
    the masks are told no place at all now, so they lie on the CPU; they belong where the latents are
, device=latents.device ->
latents * masks -> latents.cpu() * masks
    the latents are brought to the masks: the result lies on the CPU, and a decoder on the GPU cannot take it
return latents.mul_(masks.reshape(batch, 1, height, width))
    the caller's latents have lost these positions too: promised was a copy
torch.arange(batch), positions -> :, positions
    each image has lost the positions of all the others as well: `:` on the first axis means every image
masked = latents.clone()\nmasked[:, 0] *= masks.reshape(batch, height, width)\nreturn masked
    one number of the vector is 0; all D of them were to be
"""

EXERCISE = exercise(
    bug_06,
    lesson="15_bug_hunt",
    draw=draw,
    wrong=WRONG,
    hints=(
        "Who could call this with latents that lie elsewhere than the masks? Think of a machine with a GPU, and a "
        "model that somebody left on the CPU.",
        "A tensor that is made inside a function belongs where the function's inputs are. The machine does not know "
        "that; the inputs do.",
        "torch.ones(batch, height * width, device=the device of latents), or a method of latents that makes ones",
    ),
)
