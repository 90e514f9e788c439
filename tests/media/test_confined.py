"""What reads media from outside can do no harm, and its end is told in words."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from av_pipelines.media.confined import (
    Confined,
    ConfinedError,
    Limits,
    plain_files,
    run_program,
    run_task,
)

Run = Callable[..., dict[str, Any]]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the mechanism is Linux's")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the body of a function ``task(request, out, progress)`` confined."""
    for name in ("out", "code"):
        (tmp_path / name).mkdir()

    def run(body: str, request: dict[str, Any] | None = None, **how: Any) -> dict[str, Any]:
        name = f"confined_{tmp_path.name.replace('-', '_')}"
        code = "import os, pathlib, socket, subprocess, time\ndef task(request, out, progress):\n"
        (tmp_path / "code" / f"{name}.py").write_text(code + f"    {body}\n")
        monkeypatch.syspath_prepend(tmp_path / "code")
        given = {"fds": [], "out": tmp_path / "out", **how}
        return run_task(f"{name}:task", request or {}, **given)

    return run


def test_it_answers_and_tells_how_far_it_is(run: Run) -> None:
    heard: list[float] = []
    answer = run(
        "progress(0.25); return {'twice': 2 * request['n']}", {"n": 4}, progress=heard.append
    )
    assert (answer, heard) == ({"twice": 8}, [0.25])


def test_it_reads_the_file_it_was_given(run: Run, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(b"frames")
    with (tmp_path / "film").open("rb") as file:
        body = "return {'read': os.read(request['fd'], 9).decode()}"
        assert run(body, {"fd": file.fileno()}, fds=[file.fileno()]) == {"read": "frames"}


TASKS = """
import os
seen = []
def add(request, out, progress):
    seen.append(request["n"])
    return {"seen": len(seen), "pid": os.getpid()}
def refuse(request, out, progress):
    raise ValueError("so it is")
def die(request, out, progress):
    os.abort()
"""


def test_one_process_does_several_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "several_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "out").mkdir()
    with Confined(fds=[], out=tmp_path / "out") as process:
        one = process.run("several_tasks:add", {"n": "x" * 10**6})  # more than a pipe holds
        with pytest.raises(ConfinedError, match="so it is"):
            process.run("several_tasks:refuse", {})
        assert process.run("several_tasks:add", {"n": ""}) == {**one, "seen": 2}
        for _ in range(2):
            with pytest.raises(ConfinedError, match="crashed"):
                process.run("several_tasks:die", {})
    with pytest.raises(ProcessLookupError):
        os.kill(one["pid"], 0)


@LINUX
@pytest.mark.parametrize(
    "body",
    [
        "pathlib.Path(request['other']).read_text()",
        "pathlib.Path(request['other']).write_text('x')",
        "os.symlink('/etc/passwd', out / 'link')",
        "socket.socket()",
        "subprocess.run(['true'])",
    ],
)
def test_it_can_reach_nothing_else(body: str, run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("secret")
    with pytest.raises(OSError, match=r"(?i)denied|not permitted"):
        run(body, {"other": str(other)})
    assert other.read_text() == "secret"


@pytest.mark.parametrize(
    ("body", "limits", "said"),
    [
        ("raise ValueError('so it is')", {}, "so it is"),
        ("os.abort()", {}, "crashed"),
        ("os._exit(0)", {}, "without an answer"),
        ("os.write(1, b'x'); time.sleep(60)", {"stall_s": 1.0}, "no progress"),
        (
            "[progress(i / 1e3) or time.sleep(0.1) for i in range(999)]",
            {"max_wall_s": 1.5},
            "longer",
        ),
        ("while True: pass", {"max_cpu_s": 1}, "1 s of CPU"),
    ],
)
def test_how_it_ended_is_said(body: str, limits: dict[str, Any], said: str, run: Run) -> None:
    with pytest.raises(ConfinedError, match=said):
        run(body, limits=Limits(**limits))


@LINUX
def test_memory_is_limited(run: Run) -> None:
    with pytest.raises(MemoryError):
        run("bytearray(3 << 30)", limits=Limits(max_memory_bytes=1 << 30))


@LINUX
def test_a_program_is_confined_too(tmp_path: Path) -> None:
    out, heard = tmp_path / "out", []
    out.mkdir()
    python = Path(sys.executable)
    run_program(Path("/bin/echo"), ["a", "b"], fds=[], out=out, hear=heard.append)
    assert heard == ["a b"]
    for program, arguments in (
        ("/bin/cat", [str(tmp_path / "secret")]),
        ("/bin/sh", ["-c", f"exec {python} -c 1"]),
        ("/bin/sh", ["-c", "echo x > ../x"]),
    ):
        (tmp_path / "secret").write_text("x")
        with pytest.raises(ConfinedError, match=r"denied|Permission|exit code|not permitted"):
            run_program(Path(program), arguments, fds=[], out=out, hear=lambda line: None)


def test_only_plain_files_are_taken(tmp_path: Path) -> None:
    (tmp_path / "keyframes").mkdir()
    (tmp_path / "keyframes" / "a.jpg").write_bytes(b"")
    assert plain_files(tmp_path) == ["keyframes/a.jpg"]
    (tmp_path / "b.jpg").symlink_to("/etc/passwd")
    with pytest.raises(ConfinedError, match=r"b\.jpg"):
        plain_files(tmp_path)
