"""Formulas as pictures: TeX, as far as matplotlib's mathtext knows it, to SVG that follows the page's colour.

Beyond mathtext there is one environment, cases, whose rows are ``value & condition``. Letters are outlines, so that a
formula looks the same wherever it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

#: In points, as all lengths here; the page gives the picture its size in em.
SIZE = 12.0
GAP = 0.4 * SIZE
#: Between the rows of a case distinction, and between its columns.
LEADING, COLUMN = 0.45 * SIZE, 1.3 * SIZE
#: Letters reach so far above and below the line; less would crop rounding.
ASCENT, DESCENT = 0.75 * SIZE, 0.25 * SIZE
#: Where fractions and braces are centred.
AXIS = 0.27 * SIZE
FONT = FontProperties(size=SIZE, math_fontfamily="cm")
CASES = re.compile(r"\\begin\{cases\}(.*?)\\end\{cases\}", re.DOTALL)
COMMANDS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}


def svg(tex: str, label: str) -> str:
    """A formula as an SVG element; ``label`` is its text for those who can't see it."""
    path = _line(tex)
    box = path.get_extents()
    low, high = min(box.y0, -DESCENT), max(box.y1, ASCENT)
    width, height = box.x1 + 1, high - low
    view = f"0 {-high:.2f} {width:.2f} {height:.2f}"
    return (
        f'<svg class="formula" role="img" aria-label="{escape(label)}" viewBox="{view}" '
        f'style="width:{width / SIZE:.2f}em"><path fill="currentColor" d="{_data(path)}"/></svg>'
    )


def _line(tex: str) -> Path:
    """Pieces side by side: plain mathematics, and case distinctions."""
    paths, x = [], 0.0
    for k, piece in enumerate(CASES.split(tex)):
        if not piece.strip():
            continue
        path = _cases(piece) if k % 2 else _text(piece)
        paths.append(_moved(path, x, 0))
        x = paths[-1].get_extents().x1 + GAP
    return Path.make_compound_path(*paths)


def _text(tex: str) -> Path:
    # TextPath leaves out spaces at the ends: what stands apart is told by \qquad.
    lead = 2 * SIZE if tex.lstrip().startswith(r"\qquad") else 0.0
    bare = tex.strip().removeprefix(r"\qquad").strip()
    return _moved(TextPath((0, 0), f"${bare}$", prop=FONT), lead, 0)


def _cases(rows: str) -> Path:
    """A brace, the values beneath one another, and their conditions."""
    cells = [[_text(cell) for cell in row.split("&")] for row in rows.split(r"\\")]
    heights = [(min(_bottom(row), -DESCENT), max(_top(row), ASCENT)) for row in cells]
    total = sum(high - low for low, high in heights) + LEADING * (len(cells) - 1)
    brace = _brace(total)
    left = brace.get_extents().x1 + GAP
    right = left + max(row[0].get_extents().x1 for row in cells) + COLUMN
    paths, top = [brace], AXIS + total / 2
    for row, (low, high) in zip(cells, heights, strict=True):
        paths += [_moved(cell, x, top - high) for cell, x in zip(row, (left, right), strict=True)]
        top -= high - low + LEADING
    return Path.make_compound_path(*paths)


def _top(row: Iterable[Path]) -> float:
    return max(cell.get_extents().y1 for cell in row)


def _bottom(row: Iterable[Path]) -> float:
    return min(cell.get_extents().y0 for cell in row)


def _brace(height: float) -> Path:
    glyph = TextPath((0, 0), r"$\{$", prop=FONT)
    box = glyph.get_extents()
    stretched = Affine2D().translate(-box.x0, -(box.y0 + box.y1) / 2).scale(1.2, height / box.height)
    return glyph.transformed(stretched.translate(0, AXIS))


def _moved(path: Path, x: float, y: float) -> Path:
    return path.transformed(Affine2D().translate(x, y))


def _data(path: Path) -> str:
    """The path in SVG's words; there y grows downwards."""
    words = []
    for points, code in path.iter_segments(curves=True, simplify=False):
        flipped = [f"{-v if k % 2 else v:.2f}".rstrip("0").rstrip(".") for k, v in enumerate(points)]
        words.append(COMMANDS[code] + ("" if code == Path.CLOSEPOLY else " ".join(flipped)))
    return "".join(words)
