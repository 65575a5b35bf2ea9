"""``python -m kernels.report.docs``: one page a function, an index and a comparison of names, from records and texts.

Nothing is measured. The pages need no network and no script; they lie beside the report's page, which links to them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kernels.files import write_whole
from kernels.report import DOCS, accuracy
from kernels.report.__main__ import DONE, INSTALL, USAGE, draw


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m kernels.report.docs", description=__doc__.replace("``", ""))
    found.add_argument(
        "--output", type=Path, default=Path("reports"), metavar="DIR", help="pages go to DIR/docs; default: %(default)s"
    )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    folder = parser().parse_args(arguments).output
    try:
        from rich.progress import track

        from kernels.report import reference
    except ImportError as error:
        print(
            f"python -m kernels.report.docs: the pages need matplotlib and mpmath ({error}); {INSTALL}", file=sys.stderr
        )
        return USAGE
    target = folder / DOCS
    target.mkdir(parents=True, exist_ok=True)
    reported = (folder / "index.html").exists()
    jobs = reference.pages(accuracy.swept(folder), reported)
    for name, write in track(jobs.items(), description="pages"):
        write_whole(target / f"{name}.html", write())
    for stale in {path for path in target.glob("*.html") if path.stem not in jobs}:
        stale.unlink()
    print(f"{target / 'index.html'}: the documentation, {len(jobs)} pages.")
    # A report that was drawn before has no links to them yet.
    return draw(folder) if reported else DONE


if __name__ == "__main__":
    sys.exit(main())
