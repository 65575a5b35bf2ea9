"""What the activations did in a network: the section of the page, from rows of experiments."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from kernels.report import rows
from kernels.report.findings import DISPATCHER, Findings
from kernels.report.html import DASH, bullets, dotted, figures, folded, paragraph, seconds, table, times
from kernels.report.rows import Row

#: A first layer that gets less of the gradient than this share of what the last one gets learns next to nothing.
VANISHED = 1e-3
EXPERIMENT = {"ordinary": "", "high rate": "high learning rate", "negative bias": "negative bias"}


def learned(findings: Findings, experiment: str) -> list[Row]:
    return [row for row in rows.of_kind(findings.rows, "learning") if row["experiment"] == experiment]


def layers(findings: Findings, experiment: str) -> list[Row]:
    return [row for row in rows.of_kind(findings.rows, "layers") if row["experiment"] == experiment]


def scales(findings: Findings) -> list[str]:
    return list(dict.fromkeys(row["experiment"] for row in rows.of_kind(findings.rows, "layers")))


def steps(findings: Findings) -> dict[str, list[Row]]:
    """Activation -> rows of a step, by backend."""
    found: dict[str, list[Row]] = {}
    for row in rows.of_kind(findings.rows, "step"):
        found.setdefault(row["activation"], []).append(row)
    return found


def words(row: Row) -> str:
    """The condition of a training in words."""
    return f"rate {row['rate']:g}" + (f", biases begin at {row['bias']:g}" if row["bias"] else "")


def network(findings: Findings, charts: Mapping[str, str]) -> str:
    """The lesson in pictures, and the numbers of it."""
    ordinary = learned(findings, "ordinary")
    if not ordinary:
        return ""
    names = scales(findings)
    places = [f"{layers(findings, name)[0]['scale']:g}" for name in names]
    parts = [
        "<h3>Learning</h3>",
        paragraph(_learning(ordinary)),
        figures(charts, ("learning", "zeros", "parameters")),
        _results(findings),
        "<h3>Dying units</h3>",
        bullets(filter(None, (_dying(findings, name) for name in ("high rate", "negative bias")))),
        figures(charts, ("dead-high-rate", "dead-negative-bias")),
        "<h3>Ten layers: vanishing, exploding, self-normalising</h3>",
        bullets(line for name in names for line in _depth(findings, name)),
        figures(charts, [f"{what}-{place}" for what in ("gradient", "variance") for place in places]),
        _deep(findings),
        "<h3>The time of a step</h3>",
        figures(charts, ("step",)),
        _times(findings),
    ]
    return "\n".join(filter(None, parts))


def _learning(ordinary: list[Row]) -> str:
    best = max(ordinary, key=lambda row: row["accuracy"][-1])
    worst = min(ordinary, key=lambda row: row["accuracy"][-1])
    epochs = len(best["loss"]) - 1
    most, least = (f"{row['accuracy'][-1]:.1%} with {escape(row['activation'])}" for row in (best, worst))
    return (
        f"After {epochs} epochs the network reads <strong>{most}</strong> of digits that it has not seen, the most, "
        f"and {least}, the fewest: same images, same weights to begin with, same order and rate."
    )


def _results(findings: Findings) -> str:
    head = ["function", "training", "digits read right", "loss", "dead units", "zeros", "learned parameters, by layer"]
    body = []
    for row in rows.of_kind(findings.rows, "learning"):
        numbers = [DASH if one is None else f"{one:.2f}" for one in row["parameters"][-1]]
        loss = row["loss"][-1]
        cells = [
            words(row),
            f"{row['accuracy'][-1]:.1%}",
            "not a number" if loss is None else f"{loss:.3g}",
            f"{row['dead'][-1]:.0%}",
            f"{row['zeros'][-1]:.0%}",
            ", ".join(numbers) or DASH,
        ]
        body.append([escape(row["activation"]), *cells])
    return folded(f"{len(body)} trainings in numbers", table(head, body))


def _dying(findings: Findings, experiment: str) -> str:
    """Who lost units, and what became of it."""
    found = learned(findings, experiment)
    if not found:
        return ""
    told = [
        f"{escape(row['activation'])} ends with {row['dead'][-1]:.0%} dead units and reads {row['accuracy'][-1]:.0%}"
        for row in found
    ]
    return f"<strong>{EXPERIMENT[experiment].capitalize()}</strong> ({words(found[0])}): {'; '.join(told)}."


def _depth(findings: Findings, experiment: str) -> list[str]:
    """What the weights of one variance do to each function."""
    found = layers(findings, experiment)
    shares = {row["activation"]: (row["gradient"][0], row["gradient"][-1]) for row in found}
    gone = [name for name, (first, last) in shares.items() if first is not None and last and first < VANISHED * last]
    grown = [
        row["activation"]
        for row in found
        if row["variance"][-1] is None or row["variance"][-1] > 1e3 * row["variance"][0]
    ]
    kept = [row["activation"] for row in found if row["variance"][-1] is not None and 0.5 < row["variance"][-1] < 2]
    told = [
        f"the gradient vanishes for {', '.join(gone)}" if gone else "",
        f"the outputs explode for {', '.join(grown)}" if grown else "",
        f"after ten layers the variance is between 0.5 and 2 for {', '.join(kept)}" if kept else "",
    ]
    text = "; ".join(filter(None, told))
    return [f"Weights of variance <strong>{escape(experiment)}</strong>: {escape(text)}."] if text else []


def _deep(findings: Findings) -> str:
    head = [
        "function",
        "weights",
        "mean, layer 10",
        "variance, layer 1",
        "layer 10",
        "zeros, layer 10",
        "gradient, layer 1",
        "layer 10",
    ]
    body = []
    for row in rows.of_kind(findings.rows, "layers"):
        picked = (
            row["mean"][-1],
            row["variance"][0],
            row["variance"][-1],
            row["zeros"][-1],
            row["gradient"][0],
            row["gradient"][-1],
        )
        numbers = ["infinite" if one is None else f"{one:.2g}" for one in picked]
        body.append([escape(row["activation"]), escape(row["experiment"]), *numbers])
    return folded("Ten layers in numbers", table(head, body))


def _times(findings: Findings) -> str:
    body = []
    for name, mine in steps(findings).items():
        fastest = next((row["seconds_median"] for row in mine if row["backend"] == DISPATCHER), None)
        for row in mine:
            over = times(row["seconds_median"] / fastest) if fastest else DASH
            quartiles = f"{seconds(row['seconds_q1'])} to {seconds(row['seconds_q3'])}"
            body.append(
                [escape(name), dotted(findings, row["backend"]), seconds(row["seconds_median"]), quartiles, over]
            )
    return table(["function", "backend", "a step", "quartiles", "of kernels.fastest"], body) if body else ""
