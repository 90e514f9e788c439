"""A file from outside is read in a child process of its own, which can do no harm.

Here: ``read_media``, the way in; starting the server that forks the children, watching a child, and
saying in words how it ended. Not here: forking (``server``), the child's side (``worker``).

The child is not trusted: it may have been taken over by the file. What it says is JSON of limited
size, and of the files it made only plain ones are taken.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn, Self

from av_pipelines.intake.messages import Channel
from av_pipelines.intake.refusal import IntakeError, Refused, died_of
from av_pipelines.intake.settings import AudioSettings, SourceSettings
from av_pipelines.intake.taps import TapSpec
from av_pipelines.media import sandbox
from av_pipelines.settings import Settings, SettingsError

_END_S = 10.0  # for a child that has answered to end
_DETAIL = 4000


@dataclass(frozen=True)
class PassReport:
    """What one pass over a file gave.

    Attributes:
        facts: group → the facts of its taps; a group whose taps had nothing to take has none.
        degraded: what is wrong with the file although it was taken; None if nothing is.
        video, audio: index of the chosen streams, None where the file has none.
        wall_s, cpu_s, peak_rss_bytes: what it cost; the latter two are the child's.
        confined: the limits that held: ``limits`` (names), and for ``network`` and ``files`` the
            mechanism, None where the system has none.
    """

    facts: Mapping[str, Mapping[str, Any]]
    degraded: str | None
    video: int | None
    audio: int | None
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    confined: Mapping[str, Any]


def read_media(
    path: Path,
    taps: Sequence[TapSpec],
    source: SourceSettings | None = None,
    audio: AudioSettings | None = None,
    progress: Callable[[float], None] = lambda share: None,
    spent: Callable[[float, int], None] = lambda cpu_s, peak_rss_bytes: None,
) -> PassReport:
    """Read a file from outside once, in a limited child process, and let the taps take from it.

    Args:
        path: the file.
        taps: what to take; ``taps.source_taps`` and ``taps.audio_taps`` name the usual ones.
        source: the limits.
        audio: which sound is wanted.
        progress: called with the share read, 0 to 1, about four times a second.
        spent: called once with what the child took, CPU seconds and bytes, also when it fails.

    Raises:
        Refused: the file is unreadable, untrue about its length, beyond a limit, or fatal.
        SettingsError: a setting does not fit this file.
        OSError: the file is not there or not to be read, or the disk is full.
        IntakeError: a fault of this program.
    """
    source, audio = source or SourceSettings(), audio or AudioSettings()
    with (
        _open(path) as file,
        tempfile.TemporaryFile() as errors,
        _Folders(spec.out for spec in taps) as folders,
    ):
        started = time.monotonic()
        with _Child(file, errors, source) as child:
            request = {
                "sys_path": sandbox.python_path(),
                "source": source.model_dump(mode="json"),
                "audio": audio.model_dump(mode="json"),
                "taps": [folders.redirect(spec).to_json_dict() for spec in taps],
            }
            answer = child.ask(request, progress)
            ended = child.end()
        spent(ended.cpu_s, ended.peak_rss_bytes)
        if "facts" not in answer:
            _raise(answer, ended, errors, source)
        folders.deliver()
        return PassReport(
            facts={group: facts for group, facts in answer["facts"].items() if facts},
            degraded="; ".join(answer["flaws"]) or None,
            video=answer["video"],
            audio=answer["audio"],
            wall_s=round(time.monotonic() - started, 4),
            cpu_s=round(ended.cpu_s, 4),
            peak_rss_bytes=ended.peak_rss_bytes,
            confined=child.confined,
        )


def prepare() -> None:
    """Start the process that forks the children, which takes 0.3 s, without waiting for it.

    Optional: the first ``read_media`` does it too.
    """
    _server.start()


def reproduce_command(path: Path, source: SourceSettings, audio: AudioSettings) -> str:
    """Give the command that shows by hand what ``read_media`` says of a file."""
    words = [sys.executable, "-m", "av_pipelines.intake"]
    for settings in (source, audio):
        for name, value in settings.model_dump(exclude_defaults=True).items():
            words += [option_name(settings, name), str(value)]
    return shlex.join([*words, "--", str(path)])


def option_name(settings: Settings, name: str) -> str:
    """Name the command line option of a setting; those of the sound begin with ``--audio-``."""
    kind = "audio-" if isinstance(settings, AudioSettings) else ""
    return f"--{kind}{name.replace('_', '-')}"


def _open(path: Path) -> IO[bytes]:
    # A named pipe must not block, and a directory must not be a traceback.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        os.close(fd)
        raise Refused("is empty" if stat.S_ISREG(found.st_mode) else "is not a regular file")
    return os.fdopen(fd, "rb", buffering=0)


# ---------------------------------------------------------------------- the folders


class _Folders:
    """New folders beside what is there already, the only ones the child may write to.

    So it cannot touch an original that stands in the folder it fills, and cannot leave there
    anything but new plain files.
    """

    def __init__(self, places: Iterable[Path]) -> None:
        self._new = {
            place: Path(tempfile.mkdtemp(prefix=".intake-", dir=place)) for place in set(places)
        }

    def redirect(self, spec: TapSpec) -> TapSpec:
        """Give the tap its new folder."""
        return replace(spec, out=self._new[spec.out])

    def deliver(self) -> None:
        """Move what was made to where it was to go."""
        for place, new in self._new.items():
            there = {path.name for path in place.iterdir()}
            for entry in os.scandir(new):
                if not entry.is_file(follow_symlinks=False):
                    raise Refused(f"the process that read it made {entry.name!r}, which is no file")
                if entry.name in there:
                    raise IntakeError(f"{place} already has a file {entry.name}")
                Path(entry.path).rename(place / entry.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for new in self._new.values():
            shutil.rmtree(new)


# ---------------------------------------------------------------------- the server


class _Server:
    """The process that forks children for this one; started when first needed, once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def fork(self, fds: Sequence[int]) -> None:
        """Have a child forked that gets these descriptors."""
        with self._lock:
            try:
                socket.send_fds(self._running(), [b"+"], list(fds))
            except (BrokenPipeError, ConnectionResetError):
                # It was killed a moment ago.
                socket.send_fds(self._started(), [b"+"], list(fds))

    def start(self) -> None:
        """Start it if it does not run."""
        with self._lock:
            self._running()

    def _running(self) -> socket.socket:
        if self._control is None or self._process is None or self._process.poll() is not None:
            return self._started()
        return self._control

    def _started(self) -> socket.socket:
        self.close()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "av_pipelines.intake.server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=sandbox.clean_environment() | {"OMP_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is for the parent to deal with
            )
        return self._control

    def close(self) -> None:
        """End the server, and with it what children it has."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.wait()
        self._control = self._process = None

    def forget(self) -> None:
        """In a fork of this process: leave the server to the parent."""
        if self._control is not None:
            self._control.close()
        self._lock = threading.Lock()
        self._control = self._process = None


_server = _Server()
os.register_at_fork(after_in_child=_server.forget)
atexit.register(_server.close)


# ---------------------------------------------------------------------- the child


@dataclass(frozen=True)
class _Ended:
    """How a child ended. ``why`` is set where the parent ended it."""

    status: int = 0
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0
    why: str | None = None


class _Child:
    """One child, from fork to end; killed at the latest when the ``with`` block is left."""

    def __init__(self, file: IO[bytes], errors: IO[bytes], settings: SourceSettings) -> None:
        self._settings = settings
        self._why: str | None = None
        self.confined: dict[str, Any] = {}
        ours, theirs = socket.socketpair()
        status, its_status = socket.socketpair()
        self._channel, self._status = Channel(ours), Channel(status)
        with theirs, its_status:
            fds = [theirs.fileno(), its_status.fileno(), file.fileno(), errors.fileno()]
            _server.fork(fds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()
        self._status.close()  # which kills it, if it still lives

    def ask(self, request: dict[str, Any], progress: Callable[[float], None]) -> dict[str, Any]:
        """Send the request and wait for the answer; empty if there came none."""
        ends = time.monotonic() + self._settings.max_wall_s
        reached = -1.0
        with contextlib.suppress(BrokenPipeError):  # it is gone, which will be heard
            self._channel.send(request)
        while True:
            message = self._hear(ends - time.monotonic())
            if "confined" in message:
                self.confined = message["confined"]
            elif "progress" not in message:
                return message
            elif message["progress"] > reached:
                reached = message["progress"]
                progress(min(max(reached, 0.0), 1.0))

    def _hear(self, left_s: float) -> dict[str, Any]:
        """Take the next message; empty if there is none or it is none, and then say why."""
        wall, stall = self._settings.max_wall_s, self._settings.stall_s
        try:
            message = self._channel.receive(min(stall, left_s))
            _check(message)
        except EOFError:
            return {}
        except TimeoutError:
            if left_s <= stall:
                said = f"took longer than the {wall:g} s allowed (source.max_wall_s)"
            else:
                said = f"came to a standstill: nothing for {stall:g} s (source.stall_s)"
            self._why = f"reading it {said}"
            return {}
        except ValueError as error:
            self._why = f"the process that read it gave a wrong answer ({error})"
            return {}
        return message

    def end(self) -> _Ended:
        """Wait for the child to end, or make it; say how it did."""
        self._channel.close()
        try:
            if self._why:
                self._status.stop_sending()
            try:
                said = self._status.receive(_END_S)
            except TimeoutError:
                self._status.stop_sending()
                said = self._status.receive(_END_S)
        except (EOFError, OSError):
            raise IntakeError(
                "the process that forks children to read files did not start or has died; "
                "what it said is on standard error"
            ) from None
        return _Ended(said["status"], said["cpu_s"], said["peak_rss_bytes"], self._why)


def _check(message: Mapping[str, Any]) -> None:
    """Check the form of a message from the child; ValueError if it has none of the forms."""

    def must(good: bool) -> None:
        if not good:
            raise ValueError(f"{', '.join(message)[:80]!r} in a wrong form")

    def text(value: Any) -> bool:
        return value is None or isinstance(value, str)

    if "confined" in message:
        must(isinstance(message["confined"], dict))
    elif "progress" in message:
        must(isinstance(message["progress"], int | float))
    elif "facts" in message:
        facts, flaws = message["facts"], message.get("flaws")
        must(isinstance(facts, dict) and all(isinstance(f, dict) for f in facts.values()))
        must(isinstance(flaws, list) and all(isinstance(flaw, str) for flaw in flaws))
        for stream in (message.get("video"), message.get("audio")):
            must(stream is None or (isinstance(stream, int) and stream >= 0))
    elif "os" in message:
        number, words = message["os"] if isinstance(message["os"], list) else (None, None)
        must(isinstance(number, int) and isinstance(words, str) and text(message.get("at")))
    else:
        must(bool(message.keys() & {"refused", "setting", "memory", "failed"}))
        must(all(text(value) for value in message.values()))


def _raise(
    answer: Mapping[str, Any], ended: _Ended, errors: IO[bytes], settings: SourceSettings
) -> NoReturn:
    said = _tail(errors)
    if "refused" in answer:
        raise Refused(answer["refused"], answer.get("detail") or said)
    if "setting" in answer:
        raise SettingsError(answer["setting"])
    if "memory" in answer:
        raise Refused(
            f"reading it takes more than the {settings.max_memory_bytes} bytes of memory allowed "
            "(source.max_memory_bytes)",
            answer["memory"],
        )
    if "os" in answer:
        number, words = answer["os"]
        if number == errno.EFBIG:
            raise Refused(
                f"what is taken from it does not fit into the {settings.max_output_bytes} bytes "
                "allowed for a file (source.max_output_bytes)",
                answer.get("at"),
            )
        _fail(OSError(number, f"{words} (in the process that reads the file)"), answer)
    if "failed" in answer:
        _fail(IntakeError(f"{answer['failed']} (in the process that reads the file)"), answer)
    raise Refused(ended.why or died_of(ended.status, f"{settings.max_cpu_s} s"), said)


def _fail(error: Exception, answer: Mapping[str, Any]) -> NoReturn:
    """Raise an error of ours with the child's traceback as a note."""
    error.add_note(str(answer.get("at")))
    raise error


def _tail(errors: IO[bytes]) -> str | None:
    length = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, length - _DETAIL))
    return errors.read().decode("utf-8", "replace").strip() or None
