"""The documentation: every function has its page and texts, what they name exists, and what they show is computed."""

from __future__ import annotations

import doctest
import importlib
import inspect
import math
import re
import warnings
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from kernels.activations import ACTIVATIONS, RECORDS, lookup
from kernels.report import guide as guide_module
from kernels.report.guide import LIBRARIES, Library, guide

pytest.importorskip("matplotlib")
oracle = pytest.importorskip("kernels.oracle")

from kernels.report import docs, facts, mathematics, page, reference  # noqa: E402

TEXTS = guide().functions
each_record = pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
each_text = pytest.mark.parametrize("name", TEXTS)
VOID = {"meta", "br", "path", "use"}
#: Public names of modules of activations that are none.
NO_ACTIVATIONS = {
    "keras": {"deserialize", "get", "serialize"},
    "jax": {
        "dot_product_attention", "get_scaled_dot_general_config", "log1mexp", "logmeanexp", "logsumexp", "one_hot",
        "scaled_dot_general", "scaled_matmul", "standardize",
    },
    "torch": {"multiheadattention", "softmax2d"},
}  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[str, str]:
    """Every page as the command writes it: name -> HTML."""
    pytest.importorskip("rich")
    folder = tmp_path_factory.mktemp("reports")
    (folder / "docs").mkdir()
    (folder / "docs" / "no_longer_here.html").write_text("stale")
    assert docs.main(["--output", str(folder)]) == docs.DONE
    return {path.stem: path.read_text(encoding="utf-8") for path in (folder / "docs").glob("*")}


# ---------------------------------------------------------------- the texts
@each_record
def test_a_record_has_its_text(record):
    text = guide().of(record)
    assert text.family in guide().families
    assert text.strengths
    assert text.weaknesses
    assert all((text.use, text.avoid, text.example))
    assert set(text.notes) <= set(text.names)
    assert all(len(values) == len(record.kinks) for values in text.kinks_elsewhere.values())


def test_a_record_without_text_is_an_error_that_names_it(monkeypatch):
    made_up = replace(RECORDS[0], name="made_up")
    monkeypatch.setattr(guide_module, "RECORDS", (*RECORDS, made_up))
    with pytest.raises(LookupError, match=r"guide\.toml has no text about made_up"):
        guide_module.guide.__wrapped__()


def test_a_text_that_lacks_something_is_an_error_that_names_it():
    with pytest.raises(LookupError, match=r"functions\.relu.*'formula'"):
        guide_module._text("relu", {"family": "rectifier"})


def test_sources_are_known_and_all_are_used():
    claims = [claim for text in TEXTS.values() for claim in (*text.strengths, *text.weaknesses)]
    rows = (*guide().beside, *guide().choice)
    used = {key for claim in claims for key in claim.sources} | {key for row in rows for key in row[-1]}
    assert all(claim.sources for claim in claims)
    assert used == set(guide().sources)


def test_functions_of_the_index_have_texts():
    assert {name for _, names, _, _ in guide().choice for name in names} <= set(TEXTS)


@each_text
def test_formulas_can_be_drawn(name):
    for tex in (TEXTS[name].formula, TEXTS[name].derivative):
        drawn = mathematics.svg(tex, "a < b")
        assert 'aria-label="a &lt; b"' in drawn
        assert drawn.count("M") > 3


def test_cases_have_a_line_each():
    rows = (r"1 & x", r"1 & x \\ 2 & y", r"1 & x \\ 2 & y \\ 3 & z")
    drawn = [mathematics.svg(rf"\begin{{cases}} {cases} \end{{cases}}", "") for cases in rows]
    heights = [float(re.search(r'viewBox="0 \S+ \S+ (\S+)"', one)[1]) for one in drawn]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], rel=0.1)
    assert heights[1] > 1.8 * heights[0]


@each_record
def test_examples_hold(record):
    test = doctest.DocTestParser().get_doctest(guide().of(record).example, {}, record.name, None, None)
    result = doctest.DocTestRunner(verbose=False).run(test)
    assert result.attempted > 1
    assert result.failed == 0


# ---------------------------------------------------------------- computed facts
@pytest.mark.parametrize(
    ("name", "side", "what", "before", "first"),
    [
        ("relu", -math.inf, "reached", 1.4e-45, 0.0),
        ("relu6", math.inf, "reached", 5.9999995, 6.0),
        ("hardtanh", -math.inf, "flat", -0.99999994, -1.0),
        ("hardshrink", math.inf, "flat", 0.5, 0.50000006),
        ("exponential", math.inf, "reached", 88.72283, 88.72284),
    ],
)
def test_where_a_function_saturates(name, side, what, before, first):
    tail = next(tail for tail in facts.tails(lookup(name)) if tail.side == side)
    reach = getattr(tail, what)
    assert np.float32(reach.before) == np.float32(before)
    assert np.float32(reach.first) == np.float32(first)


@pytest.mark.parametrize(("name", "formula"), [("sigmoid", lambda x: 1 / (1 + np.exp(-x))), ("tanh", np.tanh)])
def test_saturation_is_where_float32_ends(name, formula):
    reach = facts.tails(lookup(name))[1].reached
    assert np.float32(formula(reach.first)) == 1 > np.float32(formula(reach.before))
    assert np.nextafter(np.float32(reach.before), np.float32(np.inf)) == np.float32(reach.first)


def test_what_never_ends_and_what_always_holds():
    left, right = facts.tails(lookup("identity"))
    assert left.reached is right.reached is None
    assert left.flat is right.flat is facts.EVERYWHERE


@each_record
def test_a_curve_is_the_function(record):
    low, high = guide().of(record).view
    drawn = facts.curve(record, (low, high))
    x = np.concatenate([segment.x for segment in drawn.segments])
    assert low < x[0] < x[-1] < high
    assert len(drawn.segments) == 1 + sum(low < corner.at < high for corner in drawn.corners)
    for segment in drawn.segments:
        steps = np.diff(segment.x) * (segment.derivative[1:] + segment.derivative[:-1]) / 2
        risen = segment.value[0] + np.concatenate([[0], np.cumsum(steps)])
        # A corner of a row function lies within a step.
        slack = 0 if record.elementwise else np.diff(segment.x).max()
        np.testing.assert_allclose(segment.value, risen, atol=slack + 4e-3 * max(1, np.abs(segment.value).max()))


@each_record
def test_a_kink_is_one(record):
    for corner in facts.corners(record):
        assert abs(corner.left[1] - corner.right[1]) > 1e-3 or len({p.example for p in record.parameters}) == 1
        assert corner.derivative in (
            pytest.approx(corner.left[1]), pytest.approx(corner.right[1]), pytest.approx(0),
        )  # fmt: skip


# ---------------------------------------------------------------- the pages
class Checked(HTMLParser):
    """Tags that are closed in order, and what links and ids there are."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.links, self.ids = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.links += [found[key] for key in ("href", "xlink:href") if key in found]
        self.ids += [found["id"]] if "id" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def test_there_is_a_page_for_every_function_and_no_other(written):
    assert set(written) == {record.name for record in RECORDS} | {reference.INDEX, reference.COMPARISON}


def test_pages_are_whole_and_their_links_lead_somewhere(written):
    checked = {name: Checked(text) for name, text in written.items()}
    for name, found in checked.items():
        assert found.open == []
        assert len(found.ids) == len(set(found.ids)), name
        for link in found.links:
            target, _, place = link.partition("#")
            assert target == "" or target.removesuffix(".html") in checked, link
            assert place == "" or place in checked[target.removesuffix(".html") or name].ids, link
    assert not any("<script" in text or "http:" in text.replace("http://www.w3.org", "") for text in written.values())


@each_record
def test_a_page_has_every_part(written, record):
    text = written[record.name]
    parts = ["when", "example", "accuracy", "cost", "elsewhere", "sources"]
    parts += ["saturation", "special"] if record.elementwise else []
    parts += ["kinks"] if record.kinks else []
    parts += ["parameters"] if record.parameters or not record.elementwise else []
    assert set(parts) <= set(Checked(text).ids)
    assert all(f"<code>{name}</code>" in text for name in record.aliases)
    assert "Not published yet" in text


def test_the_index_opens_with_relu_beside_sigmoid(written):
    text = written[reference.INDEX]
    assert text.index('id="beside"') < text.index('id="choice"') < text.index('id="rectifier"')
    for what in ("Saturation", "Size of the gradient", "Cost", "Dying", "Zero-centred", "Sparsity", "Initialisation"):
        assert what in text
    assert "17.32868" in text
    assert all(f'href="{record.name}.html"' in text for record in RECORDS)


def test_the_comparison_has_every_function_and_name(written):
    text = written[reference.COMPARISON]
    for record in RECORDS:
        assert f'<th scope="row"><a href="{record.name}.html">' in text
        assert all(f"<code>{name}</code>" in text for names in TEXTS[record.name].names.values() for name in names)
    assert "negative_slope is 0.2 by default" in text


def test_measured_errors_are_shown():
    row = {
        "check": "ulp", "activation": "tanh", "form": "value", "gradient": None, "dtype": "float32", "error": 1.234,
        "backend": "fastest", "accuracy": "fast", "inputs": 2**32, "bound": 1.41, "worst": {"x": 0.5, "wrong": 0},
        "title": "fastest",
        "cpu": "a processor", "level": "x86-64-v3", "commit": "abc", "versions": {},
    }  # fmt: skip
    text = reference.pages([row], reported=True)["tanh"]()
    assert "<td>1.24</td>" in text
    assert 'href="../index.html"' in text
    assert "Not published yet" in reference.pages([row], reported=False)["relu"]()


def test_the_report_links_to_pages_that_exist():
    from kernels.report.findings import Findings
    from tests.test_report import synthetic

    findings = Findings(synthetic())
    text = page.render(findings, {}, documented={"relu"})
    assert 'href="docs/index.html"' in text
    assert 'href="docs/relu.html"' in text
    assert "docs/softmax.html" not in text
    assert "docs/" not in page.render(findings, {})


# ---------------------------------------------------------------- other libraries
def named(library: str) -> list:
    return [(name, foreign) for name, text in TEXTS.items() for foreign in text.names.get(library, ())]


def found(library: Library, name: str):
    """The foreign function, or a skip where its library is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return library.find(name)
        except ImportError as error:
            pytest.skip(f"{library.title} is not installed: {error}")


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_named_exists(library):
    for _, foreign in named(library):
        assert found(LIBRARIES[library], foreign) is not None


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_name_that_does_not_exist_is_an_error(library):
    found(LIBRARIES[library], named(library)[0][1])
    with pytest.raises(LookupError, match="no_such_function"):
        LIBRARIES[library].find("no_such_function")


@pytest.mark.parametrize("library", ["jax", "keras", "torch"])
def test_what_others_call_an_activation_is_here(library):
    names = {foreign.rpartition(".")[2] for _, foreign in named(library)}
    found(LIBRARIES[library], "relu")
    if library == "torch":  # the functions that its modules call
        theirs = {name.lower() for name in found(Library("torch.nn", "torch.nn.modules.activation"), "__all__")}
        names = {name.replace("_", "").lower() for name in names}
    else:
        home = importlib.import_module(LIBRARIES[library].module)
        theirs = {name for name, one in vars(home).items() if callable(one) and not name.startswith("_")}
    assert theirs - NO_ACTIVATIONS[library] <= names


@pytest.mark.parametrize("library", ["jax", "keras", "torch"])
def test_a_default_that_differs_is_noted(library):
    """Of parameters that have the same name here and there."""
    for name, foreign in named(library):
        try:
            theirs = inspect.signature(found(LIBRARIES[library], foreign)).parameters
        except ValueError:  # written in C
            continue
        for parameter in ACTIVATIONS[name].parameters if name in ACTIVATIONS else ():
            default = theirs[parameter.name].default if parameter.name in theirs else parameter.default
            if default not in (parameter.default, inspect.Parameter.empty):
                assert library in TEXTS[name].notes, (name, parameter.name)


def expected(record, library: str) -> list[float]:
    ours = [corner.derivative for corner in facts.corners(record)]
    return list(TEXTS[record.name].kinks_elsewhere.get(library, ours))


kinked = pytest.mark.parametrize("record", [r for r in RECORDS if r.kinks], ids=lambda record: record.name)


@kinked
def test_pytorchs_derivatives_at_kinks_are_ours(record):
    torch = pytest.importorskip("torch")
    for name in TEXTS[record.name].names.get("torch", ()):
        given = [p.example for p in record.parameters if p.default is None]
        given = [torch.tensor(given)] if record.learnable else given
        x = torch.tensor([kink.at for kink in record.kinks], requires_grad=True)
        LIBRARIES["torch"].find(name)(x, *given).sum().backward()
        assert x.grad.tolist() == pytest.approx(expected(record, "torch"))


@kinked
def test_jaxs_derivatives_at_kinks_are_as_the_texts_say(record):
    jax = pytest.importorskip("jax")
    for name in TEXTS[record.name].names.get("jax", ()):
        slope = jax.grad(LIBRARIES["jax"].find(name))
        assert [float(slope(kink.at)) for kink in record.kinks] == pytest.approx(expected(record, "jax"))


@pytest.mark.parametrize("name", [name for name, text in TEXTS.items() if "tensorflow" in text.kinks_elsewhere])
def test_tensorflows_derivatives_at_kinks_are_as_the_texts_say(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensorflow = pytest.importorskip("tensorflow")
    x = tensorflow.constant([kink.at for kink in ACTIVATIONS[name].kinks])
    with tensorflow.GradientTape() as tape:
        tape.watch(x)
        y = getattr(tensorflow.nn, name)(x)
    assert tape.gradient(y, x).numpy().tolist() == pytest.approx(expected(ACTIVATIONS[name], "tensorflow"))
