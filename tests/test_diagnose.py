"""Little trainings, each broken in one way: each must be told first what it is, and the unbroken ones nothing."""

import functools
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import data, quantize
from course_lib.lesson import diagnose, seen, symptoms
from course_lib.models import MLPVQVAE
from course_lib.training import fit

ROOT = Path(__file__).parent.parent
DIM, SIZE, PLACES = 4, 32, 4


def rows(seed=0):
    """(2048, 16): twelve clumps, stretched alike."""
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(12, 16, generator=generator)
    stretched = torch.randn(2048, 8, generator=generator) @ torch.randn(8, 16, generator=generator)
    return centres[torch.randint(12, (2048,), generator=generator)] + 0.3 * stretched


def losses(x, codebook, decoder, image, trick="vq", codebook_hears="q", picks=torch.argmin):
    """The losses of lesson 05 for latents (N, PLACES, DIM), and the codes; each setting can be written wrongly."""
    codes = picks(torch.cdist(x.flatten(0, 1), codebook), 1)  # (N * PLACES,)
    q = codebook[codes].reshape(x.shape)
    vq = {"vq": (q - x).detach() + x, "no detach": (q - x) + x, "q.detach()": q.detach()}[trick]
    compared = {"q": q, "vq": vq, "q.detach()": q.detach()}[codebook_hears]
    return {
        "reconstruction": F.mse_loss(decoder(vq), image),
        "codebook": F.mse_loss(compared, x.detach()),
        "commitment": F.mse_loss(x, q.detach()),
    }, codes


@functools.cache
def trained(
    kind="gradient", start=None, weight=0.25, updates=400, rows_seed=0, half=False, codes_decay=0.0,
    decoder_learns=True, layer=(), **wrong,
):  # fmt: skip
    """A toy of 16 numbers an image, trained: what `diagnose` can be given of it, by the names of its arguments.

    start: what to do to the codebook before training. half: the commitment loss is a sum in float16. codes_decay:
    weight decay on the codebook. layer: settings of the EMA layer. wrong: settings of `losses`.
    """
    torch.manual_seed(0)
    images = rows(rows_seed)
    if kind == "gradient":
        quantizer = quantize.VectorQuantizer(DIM, SIZE, channel_last=True)
    else:
        quantizer = quantize.VectorQuantizerEMA(DIM, SIZE, channel_last=True, commitment_weight=1.0, **dict(layer))
    if start is not None:
        with torch.no_grad():
            quantizer.codebook.copy_(start(quantizer.codebook))
        if kind == "ema":
            quantizer.embed_sum.copy_(quantizer.codebook)
    first = quantizer.codebook.detach().clone()
    torch.manual_seed(1)
    encoder = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, PLACES * DIM), nn.Unflatten(1, (PLACES, DIM)))
    decoder = nn.Sequential(nn.Flatten(1), nn.Linear(PLACES * DIM, 64), nn.ReLU(), nn.Linear(64, 16))
    learning = [*encoder.parameters(), *(decoder.parameters() if decoder_learns else [])]
    groups = [{"params": learning}, {"params": list(quantizer.parameters()), "weight_decay": codes_decay}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, weight_decay=0.0)
    history = {}
    for _ in range(updates):
        image = images[torch.randint(2048, (128,))]
        x = encoder(image)  # (128, PLACES, DIM)
        if kind == "gradient":
            terms, codes = losses(x, quantizer.codebook, decoder, image, **wrong)
        else:
            vq, codes, commitment = quantizer(x)
            terms = {"reconstruction": F.mse_loss(decoder(vq), image), "commitment": commitment}
        if half:
            nearest = quantizer.codebook.detach()[codes].reshape(x.shape)
            terms["commitment"] = (x.half() - nearest.half()).square().sum().float()
        loss = terms["reconstruction"] / images.var(0).mean() + terms.get("codebook", 0) + weight * terms["commitment"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        shown = {f"{name}_loss": value for name, value in terms.items()}
        shown |= {"loss": loss, "perplexity": quantize.perplexity(codes, SIZE)}
        for name, value in shown.items():
            history.setdefault(name, []).append(value.item())
    with torch.no_grad():
        latents = encoder(images).flatten(0, 1)  # (2048 * PLACES, DIM)
        book = quantizer.codebook.detach().clone()
        chosen = wrong.get("picks", torch.argmin)(torch.cdist(latents, book), 1)
    variance = (images - images.mean(0)).square().mean().item()
    return {
        "history": history, "codes": chosen, "codebook": book, "start": first, "latents": latents,
        "data_variance": variance,
    }  # fmt: skip


def measured(**wrong):
    """Lesson 05's matrix of the toy's losses: 'loss -> part' -> the norm of the gradient."""
    torch.manual_seed(0)
    encoder, decoder = nn.Linear(16, PLACES * DIM), nn.Sequential(nn.Flatten(1), nn.Linear(PLACES * DIM, 16))
    parts = {"encoder": encoder.weight, "codebook": torch.randn(SIZE, DIM, requires_grad=True)}
    parts["decoder"] = decoder[1].weight
    image = rows()[:64]
    terms, _ = losses(encoder(image).unflatten(1, (PLACES, DIM)), parts["codebook"], decoder, image, **wrong)
    found = {}
    for loss, value in terms.items():
        gradients = [None] * 3
        if value.requires_grad:
            gradients = torch.autograd.grad(value, list(parts.values()), retain_graph=True, allow_unused=True)
        found |= {f"{loss} -> {part}": 0.0 if g is None else g.norm().item() for part, g in zip(parts, gradients)}
    return found


def far(codebook):
    return codebook + 6


def half_far(codebook):
    return torch.where(torch.arange(len(codebook)).unsqueeze(1) < 20, 50.0, codebook)


def normal(codebook):
    return torch.randn(codebook.shape, generator=torch.Generator().manual_seed(5))


RESTARTS = (("dead_code_threshold", 0.3), ("decay", 0.9))
CURED = (("kmeans_init", True), *RESTARTS)
HEALTHY = {
    "gradient": {},
    "gradient, codes from N(0, 1)": {"start": normal},
    "gradient, a short run": {"updates": 150},
    "gradient, other rows": {"rows_seed": 3},
    "EMA": {"kind": "ema"},
    "EMA, k-means": {"kind": "ema", "layer": (("kmeans_init", True),)},
    "EMA, k-means and restarts": {"kind": "ema", "layer": CURED},
    "EMA, decay 0.8": {"kind": "ema", "layer": (("decay", 0.8),)},
}
SICK = {
    "no commitment": ({"weight": 0.0}, symptoms.GROWS),
    "codebook loss of the straight-through vector": ({"codebook_hears": "vq"}, symptoms.SILENT),
    "codebook loss of q.detach()": ({"codebook_hears": "q.detach()"}, symptoms.SILENT),
    "EMA without restarts from a bad start": ({"kind": "ema", "start": far}, symptoms.STUCK),
    "argmax": ({"picks": torch.argmax, "start": normal}, symptoms.WRONG),
    "float16 overflows": ({"weight": 0.0, "half": True}, symptoms.NOT_FINITE),
    "weight decay on the codes": ({"start": normal, "codes_decay": 30.0}, symptoms.SHRINK),
    "most codes out of reach": ({"start": half_far}, symptoms.UNUSED),
    "the decoder is given q.detach()": ({"trick": "q.detach()"}, symptoms.MEAN),
    "a decoder that does not learn": (
        {"kind": "ema", "layer": RESTARTS, "decoder_learns": False, "weight": 100.0, "updates": 150},
        symptoms.APART,
    ),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_training_is_told_nothing(name):
    shown = trained(**HEALTHY[name])
    found = diagnose(**shown, gradients=measured(), ranks=[shown["codebook"], shown["codebook"] * (1 + 1e-6)])
    assert found.findings == (), found
    assert "Nothing conspicuous" in repr(found) and "no proof of health" in repr(found)
    assert diagnose(shown["history"]).findings == ()  # the less is given, the less can be told
    assert diagnose(None, shown["codes"], codebook_size=SIZE).findings == ()


@pytest.mark.parametrize("name", SICK)
def test_a_sick_training_is_told_its_illness_first(name):
    settings, symptom = SICK[name]
    found = diagnose(**trained(**settings))
    assert found.symptoms[:1] == [symptom.name], found
    assert found.findings[0].evidence in re.sub(r"\s+", " ", repr(found))


@pytest.mark.parametrize(
    "wrong, entries",
    [
        ({"trick": "no detach"}, ["reconstruction -> encoder", "reconstruction -> codebook"]),
        ({"trick": "q.detach()"}, ["reconstruction -> encoder"]),
        ({"codebook_hears": "vq"}, ["codebook -> encoder", "codebook -> codebook"]),
        ({"codebook_hears": "q.detach()"}, ["codebook -> codebook"]),
    ],
)
def test_a_misplaced_detach_is_told_by_its_gradients(wrong, entries):
    found = diagnose(None, gradients=measured(**wrong))
    assert found.symptoms == [symptoms.ASTRAY.name]
    assert set(re.findall(r"\w+ -> \w+", found.findings[0].evidence)) == set(entries)
    assert diagnose(**trained(**wrong), gradients=measured(**wrong)).symptoms[0] == symptoms.ASTRAY.name


def test_values_alone_do_not_show_a_missing_detach_and_the_diagnosis_says_so():
    found = diagnose(**trained(trick="no detach"))
    assert found.findings == () and any("misplaced detaches" in reason for reason in found.missing)


def test_ranks_with_codebooks_of_their_own():
    books = [trained(kind="ema", rows_seed=seed)["codebook"] for seed in (0, 3)]
    for ranks in (books, {"cuda:0": books[0], "cuda:1": books[1]}, [books[0], books[0], books[1]]):
        assert diagnose(None, ranks=ranks).symptoms == [symptoms.RANKS.name]
    assert "cuda:1" in repr(diagnose(None, ranks={"cuda:0": books[0], "cuda:1": books[1]}))
    moved = books[0].clone()
    moved[7] += 0.1
    assert "1 of 32 codes" in diagnose(None, ranks=[books[0], moved]).findings[0].evidence


def test_ranks_with_perplexities_of_their_own():
    shown = trained(kind="ema")
    halves = shown["codes"].reshape(2, 32, -1)  # two ranks, 32 batches each, of one codebook
    ours, theirs = [[quantize.perplexity(batch, SIZE).item() for batch in half] for half in halves]
    assert diagnose(None, ranks=[ours, theirs]).findings == ()
    assert diagnose(None, ranks=[ours, [value / 3 for value in theirs]]).symptoms == [symptoms.RANKS.name]


def curve(start, end, updates=100):
    return torch.linspace(start, end, updates).tolist()


def test_what_only_curves_show():
    """Drawn by hand, one for each branch that no toy above takes."""
    found = {
        "fell": diagnose({"loss": curve(1, 0.1), "perplexity": [200.0] * 50 + [1.0] * 50}),
        "fell, by codes": diagnose({"perplexity": curve(200, 5)}, torch.arange(5).repeat(2000), codebook_size=512),
        "gradient": diagnose({"loss": curve(1, 0.1), "codebook_gradient": [0.0] * 100}),
        "zero": diagnose({"loss": curve(1, 0.1), "codebook loss": [0.0] * 100}),
        "constant": diagnose({"loss": curve(1, 0.1), "codebook loss": [0.25] * 100}),
        "length": diagnose({"loss": curve(1, 0.1), "code norm": curve(3, 0.001)}),
        "difference": diagnose({"loss": [2 + t**2 for t in range(100)], "error": curve(1, 0.9)}),
    }
    wanted = {
        "fell": symptoms.FELL, "fell, by codes": symptoms.FELL, "gradient": symptoms.SILENT, "zero": symptoms.SILENT,
        "constant": symptoms.SILENT, "length": symptoms.SHRINK, "difference": symptoms.GROWS,
    }  # fmt: skip
    assert {name: diagnosis.symptoms[:1] for name, diagnosis in found.items()} == {
        name: [symptom.name] for name, symptom in wanted.items()
    }


def test_latents_whose_channel_axis_was_not_moved_have_the_wrong_codes():
    latents, codebook = torch.randn(8, 4, 5, 5), torch.randn(16, 4)  # (B, D, H, W)
    right, wrong = quantize.flatten_latents(latents), latents.reshape(-1, 4)
    codes = quantize.nearest_codes(right, codebook)
    assert diagnose(None, codes, codebook=codebook, latents=right).findings == ()
    assert diagnose(None, codes, codebook=codebook, latents=wrong).symptoms == [symptoms.WRONG.name]


def test_codes_alone():
    crowd = torch.cat([torch.zeros(20_000, dtype=torch.int64), torch.arange(512)])
    assert diagnose(None, crowd, codebook_size=512).symptoms == [symptoms.CROWD.name]
    dead = torch.arange(100).repeat(100)
    assert diagnose(None, dead, codebook_size=512).symptoms == [symptoms.UNUSED.name]
    few = torch.arange(100)  # too few to judge 512 codes by
    assert diagnose(None, few, codebook_size=512).findings == ()
    assert any("wanted 10 for each" in reason for reason in diagnose(None, few, codebook_size=512).missing)
    guessed = diagnose(None, torch.arange(100))
    assert any("K (taken to be 100" in reason for reason in guessed.missing)
    for size in (1, 2, 3):  # a small codebook at its best
        assert diagnose(None, torch.arange(size).repeat(50), codebook_size=size).findings == ()
    assert diagnose(None, torch.zeros(50, dtype=torch.int64), codebook_size=2).symptoms == [symptoms.STUCK.name]


def test_unused_codes_at_the_origin_have_shrunk_unless_they_started_there():
    codebook = torch.randn(20, 3)
    codebook[:8] = 1e-5
    codes = torch.arange(8, 20).repeat(50)
    assert diagnose(None, codes, codebook=codebook).symptoms == [symptoms.SHRINK.name]
    assert diagnose(None, codes, codebook=codebook, start=codebook * 0.99).findings == ()


def test_it_says_which_curve_it_took_for_what():
    names = {
        "train/recon_loss": "error", "Perplexity": "perplexity", "commit_loss": "commitment",
        "codebook-loss": "codebook loss", "codebook usage": "usage", "vq_loss": "quantiser loss",
        "total_loss": "loss", "learning rate": None,
    }  # fmt: skip
    found = diagnose({name: curve(1 + n, 1) for n, name in enumerate(names)})
    for name, role in names.items():
        if role:
            assert f"{role} ('{name}')" in found.looked_at
    assert any("'learning rate'" in reason for reason in found.missing)
    assert "perplexity" in diagnose({"perplexity": [3.0, 4.0]}).looked_at  # too short for a trend, and said
    assert any("wanted 20" in reason for reason in diagnose({"perplexity": [3.0, 4.0]}).missing)


def test_tensors_arrays_and_devices_are_taken_as_they_come():
    history = {"loss": torch.linspace(1, 0.1, 50), "perplexity": torch.linspace(9, 20, 50).numpy()}
    history["error"] = [torch.tensor(1 / (n + 1), requires_grad=True) for n in range(50)]
    codes = torch.arange(20).repeat(50).reshape(10, 10, 10)
    for kind in (codes, codes.int(), codes.numpy(), codes.tolist()):
        assert diagnose(history, kind, codebook=nn.Parameter(torch.randn(20, 3))).findings == ()


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"history": None}, ValueError, "nothing to look at"),
        ({"history": {}}, ValueError, "history is empty"),
        ({"history": [{"loss": 1.0}]}, TypeError, "From a list of dicts"),
        ({"history": {"loss": [1.0, 2.0], "error": [1.0]}}, ValueError, "lengths {'loss': 2, 'error': 1}"),
        ({"history": {"loss": []}}, ValueError, "one number for each update"),
        ({"history": {"loss": "0.5"}}, TypeError, "wanted a list of numbers"),
        ({"history": {"loss": 0.5}}, TypeError, "holds something that is no number"),
        ({"history": {"loss": ["a"]}}, TypeError, "holds something that is no number"),
        ({"history": None, "codes": torch.rand(5)}, TypeError, "codes are torch.float32"),
        ({"history": None, "codes": torch.ones(5, dtype=torch.bool)}, TypeError, "codes are torch.bool"),
        ({"history": None, "codes": "abc"}, TypeError, "wanted a tensor of whole numbers"),
        ({"history": None, "codes": torch.tensor([], dtype=torch.int64)}, ValueError, "at least one"),
        ({"history": None, "codes": torch.tensor([3, -1])}, ValueError, r"codes\[codes >= 0\]"),
        ({"history": None, "codes": torch.tensor([3, 9]), "codebook_size": 9}, ValueError, "wanted 0 to 8"),
        ({"history": None, "codes": torch.tensor([3]), "codebook_size": 9.0}, ValueError, "wanted a whole number"),
        ({"history": None, "codebook": [torch.rand(3, 2)] * 2}, TypeError, "go to ranks"),
        ({"history": None, "codebook": torch.rand(1, 3, 2)}, ValueError, r"wanted floating-point rows \(rows, D\)"),
        ({"history": None, "codebook": torch.rand(3, 2), "start": torch.rand(4, 2)}, ValueError, "wanted the same"),
        ({"history": None, "codebook": torch.rand(3, 2), "latents": torch.rand(9, 3)}, ValueError, "wanted one D"),
        ({"history": {"error": [1.0]}, "data_variance": 0.0}, ValueError, "above 0"),
        ({"history": None, "ranks": [torch.rand(3, 2)]}, ValueError, "two or more"),
        ({"history": None, "ranks": [torch.rand(3, 2), torch.rand(4, 2)]}, ValueError, "of one shape"),
        ({"history": None, "ranks": ["a", "b"]}, TypeError, "no tensor"),
        ({"history": None, "ranks": torch.rand(2, 3, 2)}, TypeError, "wanted a list, or name"),
        ({"history": None, "gradients": {"loss -> encoder": 1.0}}, ValueError, "reconstruction -> encoder"),
    ],
)
def test_what_cannot_be_read_is_said(arguments, error, words):
    with pytest.raises(error, match=words):
        diagnose(**arguments)


def test_the_flows_are_those_of_the_course_s_layer():
    for name, heard in measured().items():
        assert seen.FLOWS[name] == (heard > 0), name


@pytest.mark.slow
def test_the_course_s_own_runs_on_digits():
    """Lessons 08 and 09, shortened: the small start and both cures are healthy, lesson 09's bad start is sick."""
    mnist = data.load("mnist", ROOT / "build" / "no data")  # the sample of the installation, where there is no network
    images = mnist.train[:10_000].flatten(1).float() / 255
    variance = (images - images.mean(0)).square().mean().item()

    def step(model, batch):
        reconstruction, codes, vq_loss = model(batch)
        error = F.mse_loss(reconstruction, batch)
        return {"loss": error + vq_loss, "error": error, "perplexity": quantize.perplexity(codes, 512)}

    def diagnosis(dim, layer):
        torch.manual_seed(1)
        model = MLPVQVAE(784, dim, 16, layer)
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        history = fit(model, images, step, updates=300, batch_size=128, optimizer=optimizer, seed=1, progress=False)
        model.eval()
        with torch.no_grad():
            latents = model.encoder(images[:2000]).flatten(0, 1)
        return diagnose(
            history, model.encode(images[:2000]), codebook=layer.codebook, latents=latents, data_variance=variance
        )

    torch.manual_seed(0)
    gradient = quantize.VectorQuantizer(16, 512, commitment_weight=1.0, channel_last=True)
    cured = quantize.VectorQuantizerEMA(64, 512, kmeans_init=True, dead_code_threshold=0.3, channel_last=True)
    assert diagnosis(16, gradient).findings == () and diagnosis(64, cured).findings == ()
    sick = diagnosis(64, quantize.VectorQuantizerEMA(64, 512, channel_last=True))
    assert sick.symptoms == [symptoms.STUCK.name, symptoms.MEAN.name], sick


# --- The pages --------------------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "symptoms.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page():
    """The names that the page's Python leaves behind, block after block."""
    names = {}
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL), start=1):
        exec(compile(block, f"docs/symptoms.md, block {number}", "exec"), names)
    return names


def test_the_page_s_python_runs_and_its_example_is_told_what_the_page_says(page):
    assert page["found"].symptoms == [symptoms.STUCK.name, symptoms.MEAN.name]
    shown = re.search(r"begins so:\n\n```text\n(.*?)```", PAGE, re.DOTALL)[1]
    assert repr(page["found"]).startswith(shown.rstrip())
    cured = quantize.perplexity(page["cured_codes"], 128)
    assert cured > 60 and page["cured_history"]["error"][-1] < 0.6 * page["variance"]


@pytest.mark.parametrize("symptom", [symptom for symptom, _ in symptoms.LOOKS], ids=lambda symptom: symptom.name)
def test_a_symptom_s_check_runs_and_its_section_and_lessons_exist(symptom, page, capsys):
    exec("\n".join(symptom.check), dict(page))
    assert capsys.readouterr().out
    assert f"## {symptom.name}\n" in PAGE and f"](#{symptom.section.partition('#')[2]})" in PAGE
    for number, sections in re.findall(r"lessons? (\d\d)(?:, sections? ([^;]+))?", symptom.lesson):
        (lesson,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        text = lesson.read_text(encoding="utf-8")
        for section in re.findall(r"\d+", sections):
            assert f'"## {section}. ' in text, f"lesson {number} has no section {section}"


@pytest.mark.parametrize("name", ["symptoms.md", "glossary.md"])
def test_the_pages_links_lead_somewhere(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(links) > 20
    for link in links:
        path, _, anchor = link.partition("#")
        if path.startswith("https:"):
            continue
        target = ROOT / "docs" / (path or name)
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, link


def test_the_glossary_is_in_order_and_short_and_says_where_a_term_is_met():
    entries = re.findall(r"^\*\*(.+?)\*\*(.+?)(?:\n\n|\Z)", GLOSSARY, re.MULTILINE | re.DOTALL)
    terms = [term.casefold() for term, _ in entries]
    assert terms == sorted(set(terms), key=lambda term: term.replace("_", " "))
    for term, text in entries:
        assert re.search(r"\[(Lesson \d\d|Symptoms)\]\(", text), term
        words = re.sub(r"\$.*?\$|`.*?`|\[.*", "", text, flags=re.DOTALL)
        assert 1 <= len(re.findall(r"[.?](?:\s|$)", words)) <= 4, term  # its unit or range, and up to three sentences
    wanted = (
        "latent, code, codebook, K, dimension, N, batch size, commitment loss, perplexity, usage, straight-through, "
        "EMA, cluster_size, embed_sum, dead code, prior, NMSE, distortion, bits per code, stop-gradient, "
        "rotation trick, residual quantisation, FSQ, LFQ"
    )
    assert {term.casefold() for term in wanted.split(", ")} <= set(terms)
