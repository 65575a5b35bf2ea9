"""``python -m kernels.report --scheduler ADDRESS``: the same run on every worker host of a dask.distributed cluster.

One worker of each host measures, one host after the other, so that hosts that share a machine, or a network, do not
disturb each other. Rows come back and are written here, a file a host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kernels.report import rows
from kernels.report.rows import Row

if TYPE_CHECKING:
    from distributed import Client

INSTALL = 'pip install "activation-kernels[cluster]"'
#: Seconds to wait for the scheduler.
PATIENCE = 10


def connect(address: str) -> Client:
    """ImportError or OSError say what is missing; the latter also where there is no worker."""
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError(f"--scheduler needs dask.distributed ({error}); {INSTALL}") from None
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise OSError(f"no dask scheduler answers at {address!r}: {error}") from None
    if not hosts(client):
        client.close()
        raise OSError(f"the scheduler at {address} has no workers: start `dask worker {address}` on each host")
    return client


def hosts(client: Client) -> dict[str, str]:
    """host -> the address of one of its workers."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return {about["host"]: address for address, about in sorted(workers.items(), reverse=True)}


def measure(arguments: Sequence[str]) -> list[Row]:
    """On a worker: a fresh run, and its rows."""
    import tempfile

    from kernels.report import __main__ as report

    with tempfile.TemporaryDirectory() as folder:
        code = report.measure(report.parser().parse_args([*arguments, "--fresh", "--output", folder]))
        if code != report.DONE:
            raise RuntimeError(f"python -m kernels.report {' '.join(arguments)} ended with {code}; its log says why")
        return [row for path in Path(folder, "results").glob("*.jsonl") for row in rows.read(path)[0]]


def sweep(client: Client, arguments: Sequence[str], folder: Path) -> Iterator[Path]:
    """The file of each host, as it is there; rows say on which host they were measured."""
    for host, worker in sorted(hosts(client).items()):
        found = client.submit(measure, tuple(arguments), workers=[worker], pure=False).result()
        yield write(found, host, folder)


def write(found: Sequence[Row], host: str, folder: Path) -> Path:
    """One host's rows in a file named like that of a run here."""
    head = rows.header(found)
    began = "".join(mark for mark in head["started"][:19] if mark not in "-:")
    name = f"{head['plan']}-{''.join(mark if mark.isalnum() else '_' for mark in host)}-{began}.jsonl"
    results = rows.Results(folder / name)
    for row in found:
        results.append({**row, "host": host} if row["kind"] in ("run", "measurement") else row)
    return results.path
