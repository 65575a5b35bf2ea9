"""What lies in a folder of reports, put together to a page. It loads no kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kernels.report import DOCS, accuracy, rows
from kernels.report.findings import Findings
from kernels.report.race import Race
from kernels.report.rows import Row


@dataclass(frozen=True)
class Material:
    """The newest results of a folder, the finished ones alone where that is wanted."""

    folder: Path
    finished: bool = False

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @cached_property
    def _read(self) -> list[tuple[Path | None, list[Row], list[str]]]:
        """Of a run of its own, of a race with other libraries, and on a GPU."""
        plans = (None, f"{rows.PEERS_PLAN}*", f"{rows.DEVICE_PLAN}*")
        return [rows.latest_readable(self.results, plan, self.finished) for plan in plans]

    @property
    def paths(self) -> list[Path]:
        return [path for path, _, _ in self._read if path is not None]

    @cached_property
    def _compiled(self) -> tuple[list[Row], list[str]]:
        """What ptxas said of the CUDA kernels."""
        path = self.folder / rows.PTX_FILE
        return rows.read(path) if path.exists() else ([], [])

    @property
    def problems(self) -> list[str]:
        found = (*(problems for _, _, problems in self._read), self._compiled[1])
        return [problem for problems in found for problem in problems]

    @cached_property
    def own(self) -> Findings | None:
        found = self._read[0][1]
        return Findings(found) if found else None

    @cached_property
    def race(self) -> Race | None:
        found = self._read[1][1]
        return Race(found) if found else None

    @cached_property
    def findings(self) -> Findings:
        """Without a run of its own a page has the others alone."""
        _, raced, on_device = (found for _, found, _ in self._read)
        return self.own or Findings([row for row in raced or on_device if row["kind"] != "measurement"])

    @cached_property
    def _gpu(self):
        from kernels.report import gpu

        on_device = self._read[2][1]
        return gpu.Gpu(gpu.Device(on_device) if on_device else None, rows.of_kind(self._compiled[0], "kernel"))

    def charts(self) -> dict[str, str]:
        """Name -> SVG text; ImportError without matplotlib."""
        from kernels.report import charts, overviews

        return charts.draw_all(self.findings) | overviews.draw_all(self.findings, self.race, self._gpu.device)

    @property
    def documented(self) -> list[str]:
        """The functions that have a page of documentation."""
        return [path.stem for path in (self.folder / DOCS).glob("*.html")]

    def page(self, charts: Mapping[str, str], documented: Sequence[str] = ()) -> str:
        """The page of the charts; it links to the documentation of those that are ``documented``."""
        from kernels.report import page, trust

        return page.render(
            self.findings,
            charts,
            self.problems,
            self.race,
            swept=accuracy.swept(self.folder),
            documented=documented,
            trusted=trust.found(self.results),
            gpu=self._gpu,
        )
