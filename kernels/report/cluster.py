"""``python -m kernels.report --scheduler ADDRESS``: the same run on every worker host of a dask.distributed cluster.

One worker of each host measures, one host after the other, so that hosts that share a machine, or a network, do not
disturb each other. Rows come back and are written here, a file a host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def measure(choices: Mapping[str, Any]) -> list[Row]:
    """On a worker: a fresh run of what ``plan.of_choices`` makes, and its rows."""
    import tempfile

    from kernels.report import plan, run

    with tempfile.TemporaryDirectory() as folder:
        going = run.start(plan.of_choices(**choices), Path(folder), fresh=True)
        going.measure(lambda group, cases: None)
        return rows.read(going.results.path)[0]


def sweep(client: Client, choices: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """The file of each host, as it is there; rows say on which host they were measured. A host's errors are raised."""
    for host, worker in sorted(hosts(client).items()):
        found = client.submit(measure, choices, workers=[worker], pure=False).result()
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
