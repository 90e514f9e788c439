"""10,000 hostile files: spoilt media and bombs, all through intake.

Two hundred more go through ``avp run`` with what is made from them.

Asked for: no crash of what orchestrates, every file ends in a state (taken, or in quarantine with a
reason and the file kept), no process that reads one uses more memory than it may, and none of them
opens a file outside the store (but Python's and the system's own libraries) or a socket. The last
is seen by ``strace``; without it that part is left out, and said.
"""

from __future__ import annotations

import collections
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COUNT, SEED, SAMPLE = 10_000, 20261121, 200
WORKERS = 4
"""More than cores: with ``strace`` and disks to wait for, most of the time is waiting."""
CAP_BYTES = 2**30
LIMITS = {
    "max_memory_bytes": CAP_BYTES,
    "max_duration_s": 600.0,
    "max_wall_s": 120.0,
    "stall_s": 60.0,
}
CALLS = "%network,open,openat,openat2,creat,clone,clone3,fork,vfork,execve"
STRACE = ["strace", "-f", "--seccomp-bpf", "-qq", "-s", "400", "-e", f"trace={CALLS}", "-o"]


def work(root: Path, first: int, last: int) -> dict[str, Any]:
    """Drop and take every second (third …) file of a range; say how each one ended."""
    from av_pipelines.intake.assets import INTAKE
    from av_pipelines.intake.claim import register
    from av_pipelines.maker import make
    from av_pipelines.makers import open_studio
    from partitions.keys import media_key
    from tests.intake.mutations import bombs, hostile, seeds

    with tempfile.TemporaryDirectory() as scratch:
        good, evil = seeds(Path(scratch)), bombs(Path(scratch))
    studio = open_studio(root)
    studio.store.inbox.mkdir(parents=True, exist_ok=True)
    ends: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    peak, slowest = 0, (0.0, "")
    for number in range(first, last, WORKERS):
        name, data = hostile(good, evil, number, SEED)
        path = studio.store.inbox / name
        path.write_bytes(data)
        key = media_key(path)
        register(studio.store, path, key, recipe="auto", claim="move", sidecar={})
        begin = time.monotonic()
        told = {o.asset: o for o in make(studio, INTAKE, key, overrides={"source": LIMITS})}
        slowest = max(slowest, (time.monotonic() - begin, name))
        peak = max(peak, *(o.cost.peak_rss_bytes for o in told.values()))
        state = told["source"].event
        ends[state] += 1
        for outcome in told.values():
            if outcome.event not in ("made", "reused", "skipped", "quarantined") or (
                outcome.event in ("skipped", "quarantined") and not outcome.reason
            ):
                wrong.append(f"{name}: {outcome.asset} {outcome.event}: {outcome.reason}")
        kept = studio.store.quarantine_dir / key / name
        if path.exists() or (state == "quarantined") != kept.exists():
            wrong.append(f"{name}: {state}, but it is not where it belongs")
    return {
        "ends": ends,
        "wrong": wrong,
        "child_peak": peak,
        "slowest": slowest,
        "own_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def traced(log: Path, root: Path) -> tuple[int, list[str]]:
    """Return how many processes read files, and what of the forbidden they did, by strace's log."""
    allowed = (f"{root}/", "/usr/", "/lib", "/etc/ld.so.cache", "/proc/self/", "/sys/", "/dev/null")
    allowed += ("/dev/urandom", "/etc/localtime", sys.prefix, sys.base_prefix, *sys.path)
    own = tuple(place for place in allowed if place)
    servers: set[str] = set()
    readers: set[str] = set()
    bad: list[str] = []
    processes = 0
    for line in log.read_text(errors="replace").splitlines():
        pid, _, call = line.partition(" ")
        call = call.strip()
        if call.startswith("execve(") and "av_pipelines.intake.server" in call:
            servers.add(pid)
        born = re.match(r"(?:clone3?|fork|vfork)\(.*= (\d+)$", call)
        born = born or re.match(r"<\.\.\. (?:clone3?|fork|vfork) resumed>.*= (\d+)$", call)
        if born and (pid in servers or pid in readers):
            readers.add(born[1])
            processes += "CLONE_THREAD" not in call
        if pid not in readers:
            continue
        if re.match(r"(socket|connect|bind|execve|accept)\w*\(", call) and "= -1" not in call:
            bad.append(call)
        opened = re.match(r"(?:open|openat|openat2|creat)\(.*?\"(.*?)\".*= \d", call)
        if "O_PATH" in call:
            continue  # to name it in a rule of Landlock: nothing can be read by that
        if opened and opened[1].startswith("/") and not opened[1].startswith(own):
            bad.append(call)
    return processes, bad


def sample(root: Path, folder: Path, count: int) -> collections.Counter[str]:
    """Take some through real runs, with what is made from them; return how they ended."""
    from tests.intake.mutations import bombs, hostile, seeds

    good, evil = seeds(folder), bombs(folder)
    for number in range(count):
        name, data = hostile(good, evil, number * 20, SEED + 1)
        (folder / name).write_bytes(data)
    given = [f"--set=source.{name}={value}" for name, value in LIMITS.items()]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "av_pipelines", "run", *map(str, sorted(folder.iterdir()))),
            *("--store", str(root), "--assets", "audio,picture,master", "--json", *given),
            "--set=master.formats=['flac']",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    media = json.loads(done.stdout)["media"]
    for one in media:
        if one["state"] == "partial" or (one["state"] == "quarantined" and not one["reason"]):
            print(f"  {one['path']}: {one['state']}: {one['reason']}")
    return collections.Counter(one["state"] for one in media)


def main() -> None:
    """Run all of it and print what came of it."""
    count = int(os.environ.get("HOSTILE_FILES", COUNT))
    with tempfile.TemporaryDirectory() as temporary:
        folder, root = Path(temporary), Path(temporary) / "studio"
        watch = shutil.which("strace") is not None
        begin = time.monotonic()
        workers = [
            subprocess.Popen(
                [
                    *([*STRACE, str(folder / f"calls{n}")] if watch else []),
                    *(sys.executable, "-m", "tests.benchmarks.hostile"),
                    *(str(root), str(n), str(count)),
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in range(WORKERS)
        ]
        said = [worker.communicate()[0] for worker in workers]
        seconds = time.monotonic() - begin
        crashed = sum(worker.returncode != 0 for worker in workers)
        found = [json.loads(text) for text in said if text]
        ends = sum((collections.Counter(f["ends"]) for f in found), collections.Counter())
        wrong = [line for f in found for line in f["wrong"]]
        left = list(root.glob("artifacts/.staging/*")) + list(root.glob("inbox/*"))
        print(f"\n{count:,} hostile files in {seconds:.0f} s, {WORKERS} processes, seed {SEED}")
        print(f"  crashes of what orchestrates: {crashed} (goal: 0)")
        print(f"  ended: {', '.join(f'{n:,} {state}' for state, n in ends.most_common())}")
        print(f"  in no state, or without a reason: {len(wrong)} (goal: 0); left over: {len(left)}")
        print(*(f"    {line}" for line in wrong[:20]), sep="\n", end="\n" if wrong else "")
        peak = max(f["child_peak"] for f in found) / 2**20
        own = max(f["own_peak"] for f in found) / 2**20
        print(
            f"  peak memory of a reader {peak:.0f} MiB (cap {CAP_BYTES // 2**20}), ours {own:.0f}"
        )
        print(f"  slowest: {max(tuple(f['slowest']) for f in found)}")
        if watch:
            logs = [traced(folder / f"calls{n}", root) for n in range(WORKERS)]
            bad = [line for _, lines in logs for line in lines]
            print(f"  {sum(n for n, _ in logs):,} processes read; opened a file or socket that is")
            print(f"    not theirs: {len(bad)} (goal: 0)", *bad[:10], sep="\n    ")
        else:
            print("  strace is not here: what was opened is not looked at")
        (folder / "sample").mkdir()
        some = max(20, SAMPLE * count // COUNT)
        states = sample(Path(temporary) / "runs", folder / "sample", some)
        print(f"  {some} of another seed through avp run: {dict(states)} (partial: told above why)")


if __name__ == "__main__":
    print(json.dumps(work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
