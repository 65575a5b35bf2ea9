"""The same run on every host of a cluster: here two workers at two addresses of this machine."""

from __future__ import annotations

import pytest

from kernels.report import cluster, rows
from kernels.report.__main__ import main

distributed = pytest.importorskip("distributed", reason=f"dask.distributed is not installed: {cluster.INSTALL}")
HOSTS = ("127.0.0.1", "127.0.0.2")


@pytest.fixture(scope="module")
def address():
    options = {"nthreads": 1, "dashboard_address": None}
    workers = {host: {"cls": distributed.Nanny, "options": {"host": host, **options}} for host in HOSTS}
    # A scheduler without an address for its pages takes port 8787, which something else may hold.
    pages = {"dashboard": False, "dashboard_address": f"{HOSTS[0]}:0"}
    scheduler = {"cls": distributed.Scheduler, "options": {"host": HOSTS[0], **pages}}
    with distributed.SpecCluster(workers=workers, scheduler=scheduler) as found:
        yield found.scheduler_address


def test_every_host_measures_and_its_rows_come_back(address, tmp_path, capsys):
    chosen = ["--quick", "--activations", "relu", "--backends", "numpy"]
    assert main([*chosen, "--scheduler", address, "--output", str(tmp_path)]) == 0
    files = sorted((tmp_path / "results").iterdir())
    assert len(files) == len(HOSTS)
    for path, host in zip(files, HOSTS, strict=True):
        found, problems = rows.read(path)
        assert not problems
        assert {row["host"] for row in rows.of_kind(found, "measurement")} == {host}
        assert rows.is_finished(found)
    assert (tmp_path / "index.html").exists()
    assert all(host in capsys.readouterr().out for host in HOSTS[:1])


@pytest.mark.parametrize("option", ["--activations", "--backends", "--peers"])
def test_what_fails_on_a_host_is_told(option, address, tmp_path, capsys):
    assert main(["--quick", option, "nonsense", "--scheduler", address, "--output", str(tmp_path)]) == 2
    assert "'nonsense'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_no_scheduler(capsys, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    assert main(["--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "no dask scheduler answers" in capsys.readouterr().err
