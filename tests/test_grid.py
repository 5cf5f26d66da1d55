"""The network of the widgets against course_lib.models, and the widget `grid` as people use it."""

import json

import pytest
import torch
import torch.nn.functional as F
from py_mini_racer import MiniRacer
from safetensors.torch import save

from course_lib import quantize
from course_lib.lesson import widgets
from course_lib.models import ConvVQVAE, ResNetVQVAE


def half_state(model) -> dict[str, torch.Tensor]:
    return {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}


def rounded(model):
    """The model with the weights that its file in half precision has."""
    model.load_state_dict({name: value.to(model.state_dict()[name].dtype) for name, value in half_state(model).items()})
    return model.eval().requires_grad_(False)


def mnist_model(seed: int = 0) -> ResNetVQVAE:
    torch.manual_seed(seed)
    return rounded(ResNetVQVAE(quantize.VectorQuantizerEMA(16, 64), in_channels=1, hidden_channels=64))


def cifar_model(seed: int = 0) -> ResNetVQVAE:
    torch.manual_seed(seed)
    return rounded(ResNetVQVAE(quantize.VectorQuantizerEMA(64, 512)))


def odd_model() -> ConvVQVAE:
    """One strided convolution by 4, then one that keeps the size; K and D that no block of the product divides."""
    torch.manual_seed(2)
    layer = quantize.VectorQuantizer(7, 13)
    return rounded(ConvVQVAE(layer, 2, 3, hidden_channels=10, strides=(4,), residual_channels=5, residual_layers=3))


class Script:
    """network.js in an embedded V8, with tensors in and out."""

    def __init__(self):
        self.engine = MiniRacer()
        self.engine.eval((widgets.HERE / "network.js").read_text(encoding="utf-8"))

    def tell(self, name: str, value) -> None:
        self.engine.eval(f"var {name} = {json.dumps(value)};")

    def load(self, content: bytes) -> None:
        self.tell("bytes", list(content))
        self.engine.eval("var view = new DataView(Uint8Array.from(bytes).buffer);")

    def tensor(self, expression: str) -> torch.Tensor:
        return torch.tensor(json.loads(self.engine.eval(f"JSON.stringify(Array.from({expression}))")))

    def map(self, name: str, image: torch.Tensor) -> None:
        """(1, C, H, W) -> a variable of this name."""
        self.tell(name, image[0].movedim(0, -1).flatten().tolist())
        channels, height, width = image.shape[1:]
        self.engine.eval(f"{name} = network.map({height}, {width}, {channels}, Float32Array.from({name}));")

    def image(self, expression: str) -> torch.Tensor:
        """A map -> (1, C, H, W)."""
        self.engine.eval(f"var result = {expression};")
        shape = json.loads(self.engine.eval("JSON.stringify([result.height, result.width, result.channels])"))
        return self.tensor("result.values").reshape(shape).movedim(-1, 0)[None]


@pytest.mark.parametrize(
    ("model", "size"), [(mnist_model(), (28, 28)), (cifar_model(), (32, 32)), (odd_model(), (12, 20))]
)
def test_the_network_computes_what_the_model_computes(model, size):
    script = Script()
    script.load(save(half_state(model)))
    script.engine.eval("var model = network.vqvae(view);")
    images = torch.rand(1, model.in_channels, *size, generator=torch.Generator().manual_seed(1)) - 0.5
    script.map("image", images)
    latents = model.encoder(images)
    torch.testing.assert_close(script.image("network.latents(model, image)"), latents, atol=1e-4, rtol=0)
    assert latents.std() > 1e-3
    codes = script.tensor("network.encode(model, image)").reshape(1, *latents.shape[2:])
    assert codes.equal(model.encode(images))
    codes = torch.randint(len(model.quantizer.codebook), codes.shape, generator=torch.Generator().manual_seed(2))
    script.tell("codes", codes.flatten().tolist())
    decoded = script.image(f"network.decode(model, codes, {codes.shape[1]}, {codes.shape[2]})")
    torch.testing.assert_close(decoded, model.decode(codes), atol=1e-4, rtol=0)
    assert decoded.std() > 1e-3


@pytest.mark.parametrize("kind", ["convolution", "transposed"])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(4, 2, 1), (3, 1, 1), (1, 1, 0), (5, 3, 2), (2, 2, 0)])
@pytest.mark.parametrize("bias", [True, False])
def test_convolutions_are_those_of_torch(kind, kernel, stride, padding, bias):
    generator = torch.Generator().manual_seed(0)
    channels, outer, size = 3, 7, (9, 11)
    x = torch.randn(1, channels, *size, generator=generator)
    shape = (outer, channels, kernel, kernel) if kind == "convolution" else (channels, outer, kernel, kernel)
    weight, offset = torch.randn(shape, generator=generator), torch.randn(outer, generator=generator)
    script = Script()
    script.map("x", x)
    script.tell("weight", {"shape": shape, "values": weight.flatten().tolist()})
    script.tell("bias", offset.tolist() if bias else None)
    script.engine.eval(f"var layer = network.{kind}(weight, bias, {stride}, {padding});")
    function = F.conv2d if kind == "convolution" else F.conv_transpose2d
    wanted = function(x, weight, offset if bias else None, stride=stride, padding=padding)
    torch.testing.assert_close(script.image("layer.run(layer, x)"), wanted, atol=1e-5, rtol=0)


def test_every_half_is_read_as_torch_reads_it():
    every = torch.arange(65536).to(torch.uint16).view(torch.float16)
    found = Script().engine.eval("JSON.stringify(Array.from({length: 65536}, (_, bits) => String(network.half(bits))))")
    wanted = [value if value == value else None for value in every.tolist()]
    found = [float(value.replace("Infinity", "inf")) for value in json.loads(found)]
    assert [value if value == value else None for value in found] == wanted


def test_tensors_that_are_no_floats_are_left_out_and_float32_is_read():
    script = Script()
    script.load(save({"x": torch.tensor([[1.5, -2.0]]), "count": torch.tensor([3]), "flag": torch.tensor(True)}))
    assert script.engine.eval("JSON.stringify(Object.keys(network.tensors(view)))") == '["x"]'
    assert script.tensor("network.tensors(view).x.values").tolist() == [1.5, -2.0]
    assert script.tensor("network.tensors(view).x.shape").tolist() == [1, 2]


def test_of_two_codes_equally_near_the_lower_is_taken():
    script = Script()
    script.engine.eval("var model = {codebook: [1, 1, 0, 0, 1, 1, 2, 2], K: 4, D: 2};")
    assert script.tensor("network.nearest(model, {values: [1, 1, 0, 0, 1.5, 1.5]})").tolist() == [0, 1, 0]
