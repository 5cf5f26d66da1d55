"""Runs an answer and writes down what it did, as plain tensors, numbers and words.

This half of a check runs beside code that nobody trusts, so it imports torch and `elsewhere` alone and knows neither
what was wanted nor what wrong answers look like. `judge` knows, and never runs in the same process when a stranger is
graded.
"""

import copy
import traceback
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.check.elsewhere import Elsewhere, why


@dataclass(frozen=True)
class Seed:
    """Stands for a `torch.Generator` with this seed among the arguments of a `Call`."""

    number: int


@dataclass(frozen=True)
class Call:
    """One call of an answer: what goes in, and what is to be written down.

    args:          tensors, numbers, words, None, `Seed`s, tuples of numbers; handed over by position, as clones.
    names:         what messages call each of them.
    gives:         what messages call the results, one name for each.
    part:          the part of the mark that this call belongs to, "values" or "odd sizes" for instance.
    differentiate: positions in args; the gradient that each floating-point result sends to each of them is observed.
    build:         keyword or positional arguments (a dict or a tuple) for an answer that is a class. Parameters are
                   then filled by their shape, so that two spellings of a module can be compared.
    fill:          False leaves the parameters as the class made them.
    train:         for a module that gives (reconstruction, codes, loss): so many steps of Adam on args[0], and
                   the mean squared error before and after.
    watch:         the name of an attribute, "codebook": the first submodule that has it as a tensor is a layer, whose
                   input, results and that attribute, before and afterwards, are observed too; so is the attribute of
                   the module itself.
    warm:          so many calls in training mode come first: what a first batch starts, k-means for one, is over then.
    training:      whether a module is in training mode.
    elsewhere:     whether new tensors are made where the inputs lie, found out without a second device.
    again:         whether a second run, with other global random numbers, gives the same results: what is drawn is to
                   come from the generator among the arguments alone.
    reseeded:      whether a run with another generator gives other results, and leaves the global random numbers alone.
    beside:        a position in args and another value: one more run with that, from the same random numbers, whose
                   results are written as "R with iterations = 0". So a start that is drawn is known to the judge.
    once_more:     whether the results outlive another call of the same answer: each is written as "R after another
                   call" too.
    gradients:     whether autograd is on around the call.
    seed:          for the random numbers that an answer draws.
    """

    args: tuple
    names: tuple[str, ...]
    gives: tuple[str, ...] = ("result",)
    part: str = "values"
    differentiate: tuple[int, ...] = ()
    build: tuple | dict | None = None
    fill: bool = True
    train: int = 0
    watch: str | None = None
    warm: int = 0
    training: bool = True
    elsewhere: bool = False
    again: bool = False
    reseeded: bool = False
    beside: tuple[int, Any] | None = None
    once_more: bool = False
    gradients: bool = True
    seed: int = 0


@dataclass
class Raised:
    """What an answer raised, without the frames that are not the learner's."""

    kind: str  # "ValueError"
    message: str
    line: int | None  # in the learner's file or cell
    source: str  # the text of that line
    file: str = field(default="", repr=False)

    @property
    def is_stub(self) -> bool:
        """Whether it is the line that an exercise hands out; PyTorch raises the same kind, with words."""
        return self.kind == "NotImplementedError" and not self.message


Observation = dict[str, Any]  # Tensor | bool | int | float | str, and under "raised" a Raised


def observe(answer, call: Call) -> Observation:
    """What `answer` does with `call`, in the order in which a learner would look at it. Never raises for its faults.

    Keys: "kind of result" ("tensor", "3 values"), each result by its name, "gradient of R for A", "A after the
    call", "new tensors" (where `elsewhere` is asked), "the same from the same generator" (`again`), two more where
    `reseeded` is asked, results of another run (`beside`), or "raised" alone. A gradient of None is written as zeros.
    Global random numbers, the default dtype, the default device and whether algorithms are to be deterministic are left
    as they were.
    """
    return put_together(call, run_all(answer, call))


def run_all(answer, call: Call) -> dict[str, Observation]:
    """The runs that a call takes, each by itself; none after one that raised. What they add up to, `put_together` says:
    for a grader in another process, which takes nobody's word for what is the same."""
    seen: dict[str, Observation] = {}
    for what, single in _runs(call).items():
        seen[what] = _guarded(answer, single)
        if "raised" in seen[what]:
            break
    return seen


def _runs(call: Call) -> dict[str, Call]:
    plain = replace(call, elsewhere=False, again=False, reseeded=False, beside=None)
    runs = {"plain": plain}
    if call.elsewhere:
        runs["elsewhere"] = replace(plain, elsewhere=True)
    if call.again:
        runs["again"] = replace(plain, seed=call.seed + 1)
    if call.reseeded:
        args = tuple(Seed(value.number + 1) if isinstance(value, Seed) else value for value in call.args)
        runs["reseeded"] = replace(plain, args=args, reseeded=True)
    if call.beside:
        position, value = call.beside
        runs["beside"] = replace(plain, args=(*call.args[:position], value, *call.args[position + 1 :]))
    return runs


def put_together(call: Call, runs: dict[str, Observation]) -> Observation:
    """One observation from those of the runs, comparisons between them included. `KeyError` where one is missing."""
    failed = next((seen for seen in runs.values() if "raised" in seen), None)
    if failed is not None:
        return {"raised": failed["raised"]}
    seen = dict(runs["plain"])

    def same_as(other: Observation) -> bool:
        return all(_equal(seen[name], other.get(name)) for name in call.gives if name in seen)

    if call.elsewhere:
        seen["new tensors"] = runs["elsewhere"]["new tensors"]
    if call.again:
        seen["the same from the same generator"] = same_as(runs["again"])
    if call.reseeded:
        seen["other results from another generator"] = not same_as(runs["reseeded"])
        untouched = torch.Generator().manual_seed(call.seed).get_state()
        seen["PyTorch's own random numbers untouched"] = _equal(runs["reseeded"].get(RANDOM_STATE), untouched)
    if call.beside:
        position, value = call.beside
        other = runs["beside"]
        seen |= {f"{r} with {call.names[position]} = {value}": other[r] for r in call.gives if r in other}
    return seen


RANDOM_STATE = "the state of PyTorch's own random numbers after the call"


def _guarded(answer, call: Call) -> Observation:
    """One run, from the global random numbers of `call.seed`; what an answer sets for all of PyTorch ends with it."""
    state, dtype, device = torch.default_generator.get_state(), torch.get_default_dtype(), torch.get_default_device()
    strict = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.default_generator.manual_seed(call.seed)  # torch.manual_seed sees to every kind of device: 1 ms a call
        if call.elsewhere:
            return {"new tensors": _run_elsewhere(answer, call)}
        seen = _run(answer, call)
        if call.reseeded:
            seen[RANDOM_STATE] = torch.default_generator.get_state()
        return seen
    except (Exception, SystemExit) as error:
        return {"raised": raised(error, {code.co_filename for code in _codes(answer)})}
    finally:
        torch.default_generator.set_state(state)
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
        if (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ) != strict:
            torch.use_deterministic_algorithms(strict[0], warn_only=strict[1])


def _run(answer, call: Call) -> Observation:
    seen: Observation = {}
    args = [_fresh(value) for value in call.args]
    for position in call.differentiate:
        args[position].requires_grad_()
    with torch.set_grad_enabled(call.gradients):
        function = _built(answer, call, seen)
        for _ in range(call.warm):
            function.train()(*[_fresh(value) for value in call.args])
        watching = _watching(function.train(call.training) if call.warm else function, call, seen)
        with watching:
            result = function(*args)
        _write_results(result, call, seen)
        _write_gradients(result, args, function, call, seen)
        if call.once_more:
            function(*[_fresh(value) for value in call.args])
            kept = zip(call.gives, result if isinstance(result, (tuple, list)) else (result,))
            seen |= {f"{name} after another call": x.detach().clone() for name, x in kept if isinstance(x, Tensor)}
    for name, before, after in zip(call.names, call.args, args):
        if isinstance(before, Tensor):
            seen[f"{name} after the call"] = after.detach()
    if call.train:
        _train(function, args[0], call, seen)
    watching.write_afterwards()
    return seen


def _equal(one, other) -> bool:
    """Whether two runs gave the same, up to rounding."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and torch.allclose(one.double(), other.double(), equal_nan=True)
    return type(one) is type(other) and bool(one == other)


def _fresh(value):
    if isinstance(value, Seed):
        return torch.Generator().manual_seed(value.number)
    return value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)


def _built(answer, call: Call, seen: Observation):
    """The callable to be called: the answer itself, or what the class makes."""
    if call.build is None:
        return answer
    module = answer(**call.build) if isinstance(call.build, dict) else answer(*call.build)
    if not isinstance(module, nn.Module):
        raise TypeError(f"{answer.__name__}(...) gave {_kind(module)}; wanted a torch.nn.Module")
    shapes = sorted(tuple(parameter.shape) for parameter in module.parameters())
    seen["parameters"] = ", ".join(map(str, shapes)) or "none"
    if call.fill:
        for index, parameter in enumerate(module.parameters()):
            earlier = sum(other.shape == parameter.shape for other in list(module.parameters())[:index])
            with torch.no_grad():
                parameter.copy_(pattern(parameter.shape, earlier))
    return module.train(call.training)


def pattern(shape, salt: int = 0) -> Tensor:
    """Numbers of order 1 that depend on a shape alone."""
    generator = torch.Generator().manual_seed(hash((tuple(shape), salt)) % 2**31)
    return torch.randn(shape, generator=generator)


class _watching:
    """While a module runs, writes down what goes into its quantising layer and what comes out."""

    def __init__(self, module, call: Call, seen: Observation):
        self.seen, self.hook, self.name, self.layer = seen, None, call.watch, None
        if call.watch:
            inner = [m for m in module.modules() if isinstance(getattr(m, call.watch, None), Tensor)]
            self.layer = next((m for m in inner if m is not module), None)
            own = getattr(module, call.watch, None)
            if own is not None:
                seen[f"attribute {call.watch}"] = own.detach().clone() if isinstance(own, Tensor) else own

    def __enter__(self):
        if self.name:
            self.seen["layer found"] = self.layer is not None
            if self.layer is not None:
                self.before = getattr(self.layer, self.name).detach().clone()
                self.hook = self.layer.register_forward_hook(self._write, with_kwargs=True)

    def _write(self, layer, inputs, named, result):
        if "layer input" not in self.seen:
            self.seen["layer input"] = next(iter((*inputs, *named.values()))).detach().clone()
            for name, value in zip(("quantized", "codes", "loss"), result):
                self.seen[f"layer {name}"] = value.detach().clone()
            self.seen[f"layer {self.name}"] = self.before

    def __exit__(self, *_):
        if self.hook:
            self.hook.remove()

    def write_afterwards(self):
        if self.layer is not None:
            self.seen[f"layer {self.name} afterwards"] = getattr(self.layer, self.name).detach().clone()


def _kind(value) -> str:
    if isinstance(value, Tensor):
        if value.device.type != "cpu":
            return f"tensor on {value.device}"
        return "tensor" if value.layout == torch.strided and not value.is_nested else "tensor of another layout"
    if isinstance(value, bool):
        return "True or False"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, (tuple, list)):
        return f"{len(value)} values"  # a list will do
    if isinstance(value, dict):
        return f"dict of {len(value)}"
    return type(value).__name__ if value is not None else "None"


def _plain(value):
    """NumPy's numbers as Python's; a parameter as the tensor it is."""
    if not isinstance(value, Tensor) and hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    return value


def _write_results(result, call: Call, seen: Observation) -> None:
    result = _plain(result)
    seen["kind of result"] = _kind(result)
    if isinstance(result, dict):
        for name, value in result.items():
            value = _plain(value)
            name = f"{name!r}" if name in ("kind of result", "raised") else str(name)  # these two are said otherwise
            seen[name] = bool(value) if isinstance(value, Tensor) and value.numel() == 1 else value
    else:
        parts = result if isinstance(result, (tuple, list)) else (result,)
        for index, value in enumerate(parts):
            name = call.gives[index] if index < len(call.gives) else f"result {index}"
            value = _plain(value)
            seen[name] = value.detach().clone() if isinstance(value, Tensor) else value
    for name, value in seen.items():
        if isinstance(value, Tensor) and _kind(value) != "tensor":
            seen[name] = _kind(value)  # nothing that could be compared with a tensor in plain memory
        elif not isinstance(value, (Tensor, bool, int, float, str)):
            seen[name] = f"{_kind(value)} object"


def _write_gradients(result, args: list, function, call: Call, seen: Observation) -> None:
    """Each floating-point result is weighted by fixed numbers and summed, so that no gradient cancels by chance."""
    targets = {call.names[position]: args[position] for position in call.differentiate}
    if call.differentiate and isinstance(function, nn.Module) and call.fill:
        targets |= {f"the {tuple(p.shape)} parameter": p for p in function.parameters() if p.requires_grad}
    results = result if isinstance(result, (tuple, list)) else (result,)
    for name, value in zip(call.gives, results):
        if not targets or not isinstance(value, Tensor) or not value.is_floating_point():
            continue
        heard = {target: tensor for target, tensor in targets.items() if tensor.requires_grad}
        gradients = [None] * len(heard)
        if value.requires_grad and heard:
            total = (value * pattern(value.shape).to(value)).sum() if value.ndim else value
            gradients = torch.autograd.grad(total, list(heard.values()), retain_graph=True, allow_unused=True)
        for (target, tensor), gradient in zip(heard.items(), gradients):
            gradient = torch.zeros_like(tensor) if gradient is None else gradient.to_dense()
            seen[f"gradient of {name} for {target}"] = gradient.detach()
        for target in targets.keys() - heard.keys():
            cut = f"none: {target} itself was cut off, for everybody who uses it; .detach() gives a second tensor"
            seen[f"gradient of {name} for {target}"] = cut


def _train(module: nn.Module, images: Tensor, call: Call, seen: Observation) -> None:
    optimiser = torch.optim.Adam(module.parameters(), lr=3e-3)
    order = torch.Generator().manual_seed(call.seed)

    def error() -> float:
        module.eval()
        with torch.no_grad():
            found = (module(images)[0] - images).square().mean().item()
        module.train()
        return found

    seen["error before training"] = error()
    for _ in range(call.train):
        batch = images[torch.randint(len(images), (64,), generator=order)]
        reconstruction, _, loss = module(batch)
        optimiser.zero_grad()
        # the error weighs ten times: a check cannot wait until it outgrows the commitment by itself
        (10 * (reconstruction - batch).square().mean() + loss.sum()).backward()
        optimiser.step()
    seen["error after training"] = error()


def raised(error: BaseException, files: set[str]) -> Raised:
    """The innermost frame that lies in one of the files in which the answer was written."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    frame = frames[-1] if frames else None
    try:
        message = str(error)
    except Exception:  # a stranger's class of errors
        message = ""
    return Raised(
        kind=type(error).__name__,
        message=message,
        line=frame and frame.lineno,
        source=(frame and frame.line) or "",
        file=frame.filename if frame else "",
    )


def _codes(answer):
    """The code objects of a function, or of the methods of a class."""
    for value in [answer, *vars(answer).values()] if isinstance(answer, type) else [answer]:
        value = getattr(value, "__func__", value)
        value = getattr(value, "__wrapped__", value)  # below a decorator, torch.no_grad() for instance
        if hasattr(value, "__code__"):
            yield value.__code__


def _run_elsewhere(answer, call: Call) -> str:
    """ "where the inputs are", or what would fail if they lay on a GPU."""
    args = [_fresh(value) for value in call.args]
    function = _built(answer, call, {})
    with torch.enable_grad(), Elsewhere() as stage:
        result = function(*args)
    if stage.fault:
        return stage.fault
    for value in result if isinstance(result, (tuple, list)) else (result,):
        if getattr(value, "_made_by", None):
            return f"the result lies on the CPU wherever the inputs are: {why(value._made_by)}"
    return "where the inputs are"
