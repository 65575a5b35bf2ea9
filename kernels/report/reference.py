"""The pages of the documentation: HTML from records, texts and computed facts."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from kernels.activations import ACTIVATIONS, RECORDS, Activation, Bounds
from kernels.report import accuracy, charts, facts, mathematics
from kernels.report.guide import LIBRARIES, Claim, Text, guide
from kernels.report.html import DASH, facts_list, fill, listed, paragraph, table
from kernels.report.rows import Row

INDEX, COMPARISON = "index", "comparison"
#: File name without its ending -> what a link to it says.
Places = Mapping[str, str]
INFINITY, MINUS = "\N{INFINITY}", "\N{MINUS SIGN}"
#: Names that are also words of the texts, where they mean no function.
WORDS = frozenset({"threshold", "exponential", "identity", "linear", "logistic"})
#: In formulas.
SIGNS = {
    r"\sigma": "\N{GREEK SMALL LETTER SIGMA} is the sigmoid",
    r"\Phi": "\N{GREEK CAPITAL LETTER PHI} is the normal distribution",
    r"\varphi": "\N{GREEK SMALL LETTER PHI} is the normal density",
}
WORKS_ON = {"elementwise": "each element", "row": "the entries along an axis, the last by default"}
LEARNABLE = "; has a gradient: backward_parameters"
#: What tables mean.
BOUNDS = """The most that results may be wrong, in units in the last place (ULP) of the exact result. The first three
columns hold for every compiled backend, which all give the same bits; the tests hold each to its bound."""
OPERATIONS = """Floating-point operations an element, a fused multiply-add counted as two, and bytes read and written.
The fewer operations a byte, the sooner memory is the limit."""
ELSEWHERE = f"""Who calls what how. A name without a dot stands in the module at the head of its column. A number marks
a default or a convention that differs; {DASH} where a library has no such function by a name of its own."""


def pages(swept: Sequence[Row], reported: bool) -> dict[str, Callable[[], str]]:
    """Every page by name, each to be written when it is called.

    ``swept`` are measured errors; where ``reported``, the pages link to the report's page beside them.
    """
    places = {INDEX: "All functions", COMPARISON: "Names elsewhere"}
    if reported:
        places["../index"] = "Speed on this machine"
    made: dict[str, Callable[[], str]] = {
        INDEX: functools.partial(index, places),
        COMPARISON: functools.partial(comparison, places),
    }
    for record in RECORDS:
        mine = [row for row in swept if row["activation"] == record.name]
        made[record.name] = functools.partial(function, record, mine, places)
    return made


def _page(title: str, parts: Iterable[str], places: Places, here: str = "") -> str:
    nav = "".join(f'<a href="{place}.html">{text}</a>' for place, text in places.items() if place != here)
    return fill("docs.html", {"title": escape(title), "nav": nav, "body": "\n".join(filter(None, parts))})


def section(name: str, title: str, *parts: str) -> str:
    return f'<h2 id="{name}">{escape(title)}</h2>' + "\n".join(filter(None, parts))


def soft(text: str) -> str:
    return paragraph(text, "soft")


def wrapped(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table of sentences."""
    return table(head, body).replace("<table>", '<table class="text">')


# ---------------------------------------------------------------- words
def prose(text: str, here: str = "") -> str:
    """A text as HTML: powers raised, names of other functions linked."""
    html = re.sub(r"\^(-?\w+)", r"<sup>\1</sup>", escape(text, quote=False).replace("&lt;=", "≤"))
    return re.sub(r'(?<!["\w.])[a-z_0-9]+\b', lambda found: _linked(found[0], here), html)


def _linked(word: str, here: str) -> str:
    record = ACTIVATIONS.get(word)
    if record is None or word in WORDS or record.name == here:
        return word
    return link(record, word)


def link(record: Activation, text: str = "") -> str:
    return f'<a href="{record.name}.html">{escape(text or record.name)}</a>'


def code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def number(x: float, digits: int = 7) -> str:
    if math.isinf(x):
        return (MINUS if x < 0 else "") + INFINITY
    return f"{x:.{digits}g}".replace("-", MINUS)


class Citations:
    """The sources of a page, numbered as they are cited."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def __call__(self, keys: Iterable[str]) -> str:
        return "".join(self._mark(key) for key in keys)

    def _mark(self, key: str) -> str:
        if key not in self.keys:
            self.keys.append(key)
        place = self.keys.index(key) + 1
        return f'<sup><a href="#source-{place}">[{place}]</a></sup>'

    @property
    def list(self) -> str:
        texts = [guide().sources[key] for key in self.keys]
        lines = [f'<li id="source-{k}">{prose(text[0].upper() + text[1:])}.</li>' for k, text in enumerate(texts, 1)]
        return section("sources", "Sources", f'<ol class="sources">{"".join(lines)}</ol>')


# ---------------------------------------------------------------- a function
def function(record: Activation, swept: Sequence[Row], places: Places) -> str:
    """The page of one function."""
    text, cite = guide().of(record), Citations()
    parts = [
        paragraph(f"Also called {listed([code(name) for name in record.aliases])}.") if record.aliases else "",
        _lead(record, text),
        _when(record, text),
        f'<div class="two">{_claims("Strengths", text.strengths, record, cite)}'
        f"{_claims('Weaknesses', text.weaknesses, record, cite)}</div>",
        _parameters(record),
        _example(text),
        _saturation(record),
        _kinks(record, text),
        _special(record),
        _accuracy(record, swept),
        _cost(record),
        _elsewhere(record, text),
        cite.list,
        _ends(record),
    ]
    return _page(record.name, parts, places)


def _lead(record: Activation, text: Text) -> str:
    slope = "derivative" if record.elementwise else "gradient"
    formulas = [
        f"<h3>Value</h3>{mathematics.svg(text.formula, record.formula)}",
        f"<h3>{slope.capitalize()}</h3>{mathematics.svg(text.derivative, record.derivative_formula)}",
    ]
    signs = [words for sign, words in SIGNS.items() if sign in text.formula + text.derivative]
    for_given = ", for the parameters of this page" if record.parameters else ""
    known = {
        "range": f"{' to '.join(map(number, record.range))}{for_given}",
        "works on": WORKS_ON.get(record.kind, "the two halves along an axis, the last by default"),
        "reference": record.reference,
    }
    explained = soft(f"{listed(signs)}.") if signs else ""
    beside = f'<div class="formulas">{"".join(formulas)}</div>{explained}{facts_list(known)}'
    return f'<div class="lead">{picture(record)}<div>{beside}</div></div>'


def picture(record: Activation) -> str:
    return f'<figure role="img" aria-label="plot of {record.name}">{drawing(record, charts.portrait)}</figure>'


def drawing(record: Activation, draw: Callable) -> str:
    """The curve as SVG."""
    drawn = facts.curve(record, guide().of(record).view)
    return charts.svg(draw(drawn), f"{record.name}-{draw.__name__}")


def _when(record: Activation, text: Text) -> str:
    use, avoid = (prose(words, record.name) for words in (text.use, text.avoid))
    advice = f"<strong>Use it:</strong> {use}", f"<strong>Not:</strong> {avoid}"
    return section("when", "When to use it, and when not", *map(paragraph, advice))


def _claims(title: str, claims: Sequence[Claim], record: Activation, cite: Citations) -> str:
    lines = "".join(f"<li>{prose(claim.text, record.name)}{cite(claim.sources)}</li>" for claim in claims)
    return f"<div><h3>{title}</h3><ul>{lines}</ul></div>"


def _parameters(record: Activation) -> str:
    body = [
        [
            code(parameter.name),
            "must be given" if parameter.default is None else number(parameter.default),
            number(parameter.example),
            prose(parameter.meaning, record.name) + (LEARNABLE if parameter.learnable else ""),
        ]
        for parameter in record.parameters
    ]
    if not record.elementwise:
        body.append([code("axis"), f"{MINUS}1", f"{MINUS}1", "the axis along which the rows lie; by keyword only"])
    if not body:
        return ""
    return section("parameters", "Parameters", table(["name", "default", "on this page", "meaning"], body))


def _example(text: Text) -> str:
    return section("example", "Example", f"<pre>{escape(text.example.strip())}</pre>")


# ---------------------------------------------------------------- computed facts
def _saturation(record: Activation) -> str:
    if not record.elementwise:
        return ""
    head = [
        "towards",
        "f tends to",
        "f is that, in float32",
        "f' tends to",
        "f' is within 0.01 of that",
        "f' is that, in float32",
    ]
    body = [
        [
            number(tail.side),
            number(tail.limit),
            _reach(tail.reached, tail.side),
            number(tail.slope),
            _reach(tail.near, tail.side),
            _reach(tail.flat, tail.side),
        ]
        for tail in facts.tails(record)
    ]
    meaning = "From where on the function and its derivative are at their limits; computed from the exact formula."
    return section("saturation", "Range and saturation", soft(meaning), table(head, body))


def _reach(reach: facts.Reach | None, side: float) -> str:
    """x > 0.5, x ≥ 17.32868: whichever of the two neighbours is the rounder number."""
    if reach is None:
        return "nowhere"
    if reach is facts.EVERYWHERE:
        return "everywhere"
    beyond, least = ("&gt;", "≥") if side > 0 else ("&lt;", "≤")
    before, first = (f"{x:.9g}" for x in (reach.before, reach.first))
    sign, x = (beyond, reach.before) if len(before) < len(first) else (least, reach.first)
    return f"x {sign} {number(x + 0.0)}"


def _kinks(record: Activation, text: Text) -> str:
    if not record.kinks:
        return ""
    others = text.kinks_elsewhere
    titles = {"jax": "JAX", "tensorflow": "TensorFlow"}
    head = ["x", "f' on the left", "f' there, as in PyTorch", "f' on the right", *(titles[name] for name in others)]
    body = []
    for k, (kink, corner) in enumerate(zip(record.kinks, facts.corners(record), strict=True)):
        value = number(corner.derivative)
        there = value if value == number(_as_number(kink.derivative)) else f"{escape(kink.derivative)} = {value}"
        cells = [number(corner.at), number(corner.left[1]), there, number(corner.right[1])]
        body.append([*cells, *(number(values[k]) for values in others.values())])
    differs = listed([titles[name] for name in others])
    words = f"{differs} {'differ' if len(others) > 1 else 'differs'} there." if others else ""
    return section("kinks", "Kinks", soft(f"Where the derivative jumps. {words}"), table(head, body))


def _as_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _special(record: Activation) -> str:
    if not record.special:
        return ""
    body = [[_signed(s.x), _signed(s.value, 9), _signed(s.derivative, 9)] for s in record.special]
    given = [f"{p.name} = {number(p.example)}" for p in record.parameters]
    meaning = soft(f"For {escape(listed(given))}.") if given else ""
    lines = table(["x", "f(x)", "f'(x)"], [*body, ["NaN", "NaN", "NaN"]])
    return section("special", "Special values", meaning, lines)


def _signed(x: float, digits: int = 7) -> str:
    """A zero with its sign where it is negative."""
    return f"{MINUS}0" if x == 0 and math.copysign(1, x) < 0 else number(x, digits)


def _accuracy(record: Activation, swept: Sequence[Row]) -> str:
    head = ["formula", "float32", "float64", "float32, accurate", "NumPy, float32", "NumPy, float64", "Python"]
    body = [[key.replace("_", " "), *map(_bound, _bounds(bounds))] for key, bounds in record.ulp.items()]
    roots = ", ".join(number(root) for root in record.derivative_roots)
    return section(
        "accuracy",
        "Accuracy",
        soft(BOUNDS),
        table(head, body),
        soft(f"Near x = {roots}, where the derivative is 0, the unit is that of 1.") if roots else "",
        "<h3>Measured</h3>",
        *_measured(swept),
    )


def _bounds(bounds: Bounds) -> tuple[float, ...]:
    return bounds.float32, bounds.float64, bounds.accurate, bounds.numpy32, bounds.numpy64, bounds.python64


def _bound(ulp: float) -> str:
    return "exact" if ulp == 0 else f"≤ {ulp:g}"


def _measured(swept: Sequence[Row]) -> list[str]:
    """The largest errors that sweeps over all inputs found, other libraries beside."""
    parts = []
    for dtype in accuracy.DTYPES:
        found = accuracy.table(swept, dtype)
        if found:
            body = [list(map(escape, line)) for line in found.body]
            parts += [f"<h4>{dtype}</h4>", table(list(map(escape, found.head)), body)]
    if not parts:
        return [paragraph("Not published yet. To measure it: <code>python -m kernels.verify --exhaustive</code>.")]
    lines = "".join(f"<li>{escape(line)}</li>" for line in accuracy.about(swept))
    return [soft(escape(accuracy.NOTES.replace("`", ""))), *parts, f'<ul class="soft">{lines}</ul>']


def _cost(record: Activation) -> str:
    second = "derivative" if record.elementwise else "backward"
    body = []
    for form, flops in zip(("value", second), record.flops, strict=True):
        moved = [record.bytes_per_element(form, size) for size in (4, 8)]
        body.append([form, str(flops), *map(str, moved), f"{flops / moved[0]:.2g}"])
    cheap = "The gradient can be computed from the output alone: backward_from_output." if record.from_output else ""
    head = ["form", "operations", "bytes, float32", "bytes, float64", "operations a byte, float32"]
    return section("cost", "Cost", soft(OPERATIONS), table(head, body), paragraph(cheap) if cheap else "")


# ---------------------------------------------------------------- names elsewhere
#: (function, note) -> the libraries that it is about
Notes = dict[tuple[str, str], list[str]]


def _elsewhere(record: Activation, text: Text) -> str:
    body = []
    for key, library in LIBRARIES.items():
        note = text.notes.get(key, "As here." if key in text.names else "")
        body.append([library.title, _names(text, key), f'<td class="wrap">{prose(note, record.name)}</td>'])
    return section("elsewhere", "Elsewhere", table(["library", "name", ""], body))


def _names(text: Text, library: str) -> str:
    return ", ".join(map(code, text.names.get(library, ()))) or DASH


def comparison(places: Places) -> str:
    """Every function under its name in other libraries; a note where a default or a convention differs."""
    notes: Notes = {}
    body = []
    for record in RECORDS:
        own = ", ".join([link(record), *map(escape, record.aliases)])
        body.append([own, *(_noted(record.name, key, notes) for key in LIBRARIES)])
    head = ["here", *(library.title for library in LIBRARIES.values())]
    lines = "".join(f'<li id="note-{k}">{_note(*note)}</li>' for k, note in enumerate(notes.items(), 1))
    differing = section("notes", "Where they differ", f'<ol class="sources">{lines}</ol>')
    return _page("Names elsewhere", [paragraph(ELSEWHERE), table(head, body), differing], places, COMPARISON)


def _noted(name: str, library: str, notes: Notes) -> str:
    """A cell; what there is to note is put among the notes, once for all libraries of which the same is true."""
    text = guide().functions[name]
    cell = _names(text, library)
    if library not in text.notes:
        return cell
    key = name, text.notes[library]
    notes.setdefault(key, []).append(LIBRARIES[library].title)
    place = list(notes).index(key) + 1
    return f'{cell}<sup><a href="#note-{place}">{place}</a></sup>'


def _note(about: tuple[str, str], libraries: Sequence[str]) -> str:
    name, note = about
    return f"{link(ACTIVATIONS[name])}, {listed(libraries)}: {prose(note, name)}"


def _ends(record: Activation) -> str:
    """The neighbours in the table of functions."""
    place = RECORDS.index(record)
    before = f"← {link(RECORDS[place - 1])}" if place else ""
    after = f"{link(RECORDS[place + 1])} →" if place + 1 < len(RECORDS) else ""
    return f'<div class="ends"><span>{before}</span><span>{after}</span></div>'


# ---------------------------------------------------------------- the index
def index(places: Places) -> str:
    cite = Citations()
    parts = [_beside(cite), _choice(cite), *_gallery(), cite.list]
    return _page("What each function is", parts, places, INDEX)


def _beside(cite: Citations) -> str:
    """relu beside sigmoid: what there is to weigh."""
    known = guide()
    relu, sigmoid = ACTIVATIONS["relu"], ACTIVATIONS["sigmoid"]
    pictures = picture(relu) + picture(sigmoid)
    body = [
        [prose(what) + cite(keys), prose(one, "relu"), prose(other, "sigmoid")]
        for what, one, other, keys in known.beside
    ]
    cost = ["Operations, value and derivative", *(" and ".join(map(str, one.flops)) for one in (relu, sigmoid))]
    compared = wrapped(["", link(relu), link(sigmoid)], [*body, *_ends_compared(sigmoid), cost])
    verdict = paragraph(prose(known.verdict), "answer")
    return section("beside", "relu beside sigmoid", verdict, f'<div class="charts">{pictures}</div>', compared)


def _ends_compared(sigmoid: Activation) -> list[list[str]]:
    """Where relu and sigmoid saturate, in figures."""
    left, right = facts.tails(sigmoid)
    limits = f"{_reach(left.reached, left.side)}; {_reach(right.reached, right.side)}"
    slopes = f"{_reach(left.near, left.side)}; {_reach(right.near, right.side)}"
    return [["The value is at its limit in float32", "x ≤ 0", limits], ["The gradient is below 0.01", "x ≤ 0", slopes]]


def _choice(cite: Citations) -> str:
    body = []
    for where, names, why, keys in guide().choice:
        known = [link(ACTIVATIONS[name]) for name in names if name in ACTIVATIONS]
        if known:
            body.append([prose(where), ", ".join(known), prose(why) + cite(keys)])
    return section("choice", "Which one to take", wrapped(["for", "take", "because"], body))


def _gallery() -> list[str]:
    """Every function as a small picture, by family."""
    families = {key: guide().family(key) for key in guide().families}
    return [
        section(key, guide().families[key], f'<div class="gallery">{"".join(map(_tile, records))}</div>')
        for key, records in families.items()
        if records
    ]


def _tile(record: Activation) -> str:
    return f'<a href="{record.name}.html"><span>{escape(record.name)}</span>{drawing(record, charts.thumbnail)}</a>'
