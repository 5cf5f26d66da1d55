"""Small trained models that are there from the first minute, with neither data nor network.

Each comes from one long run on real data, its weights as safetensors in half precision, and beside them a `.json` that
says where they come from: command, seed, data and its licence, updates, seconds, machine, figures on the test set.
`python -m course_lib.weights.train NAME` makes one anew.
"""

import json
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from course_lib.models import ResNetVQVAE
from course_lib.priors import CodeTransformer
from course_lib.quantize import VectorQuantizerEMA

FOLDER = Path(__file__).parent
MODELS = {
    # digits as 7 x 7 of 64 codes
    "mnist_grid": lambda: ResNetVQVAE(
        VectorQuantizerEMA(16, 64, decay=0.95, commitment_weight=1.0, kmeans_init=True, dead_code_threshold=0.3),
        in_channels=1,
        hidden_channels=64,
    ),
    # p(those codes | digit); class 10 is "any digit"
    "mnist_prior": lambda: CodeTransformer(64, (7, 7), classes=10, channels=128, layers=4, heads=4),
    # photographs as 8 x 8 of 512 codes
    "cifar10": lambda: ResNetVQVAE(VectorQuantizerEMA(64, 512, decay=0.95, commitment_weight=1.0)),
}


def read(name: str) -> bytes:
    """The safetensors file of a stored model, as it lies on the disk."""
    if name not in MODELS:
        raise ValueError(f"there are no weights {name!r}; the names are {', '.join(MODELS)}")
    path = FOLDER / f"{name}.safetensors"
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileNotFoundError(
            f"{path} cannot be read ({error.strerror}); `git checkout -- {path.name}` in its folder brings it back"
        ) from error


def load(name: str) -> nn.Module:
    """-> the model in eval mode, float32, without gradients. Raises in words for a name, or a file, that is wrong."""
    content = read(name)
    model = MODELS[name]()
    try:
        stored = {key: value.float() for key, value in safetensors.torch.load(content).items()}
        # counts and sums of the moving averages serve training alone, and are not stored
        missing, unexpected = model.load_state_dict(stored, strict=False)
    except (SafetensorError, RuntimeError) as error:
        raise _broken(name, str(error)) from error
    missing = [key for key in missing if key.rpartition(".")[2] not in ("cluster_size", "embed_sum", "initialised")]
    if missing or unexpected:
        raise _broken(name, f"missing {missing}, unexpected {unexpected}")
    if broken := [key for key, value in stored.items() if not value.isfinite().all()]:
        raise _broken(name, f"{', '.join(broken)} is not finite")
    if hasattr(model, "quantizer"):
        model.quantizer.cluster_size.fill_(1.0)
        model.quantizer.embed_sum.copy_(model.quantizer.codebook)
        model.quantizer.initialised.fill_(True)
    return model.eval().requires_grad_(False)


def provenance(name: str) -> dict:
    """Where the weights come from, and their figures on the test set."""
    read(name)
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def _broken(name: str, what: str) -> ValueError:
    file = FOLDER / f"{name}.safetensors"
    return ValueError(
        f"{file} is broken, or of another version of the model ({what.splitlines()[0]}); "
        f"`git checkout -- {file.name}` in its folder brings it back, `make weights` trains it anew"
    )
