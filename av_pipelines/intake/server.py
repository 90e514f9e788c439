"""A process that has everything imported and forks a child for each file to be read.

Importing PyAV, numpy and Pillow takes 0.2 s, forking 3 ms, so this is done once per parent process.
It is started by ``child`` with an environment of its own, keeps no state, has one thread, and ends
when its parent does. It is not multiprocessing's fork server, because that one imports the parent's
main module into each child, unpickles, and cannot be used from Celery's workers.

Here: forking, reaping, killing on request. Not here: what the child does (``worker``), and what the
parent asks (``child``).

Over the control socket come one byte and four descriptors per file: the child's connection, the
status socket, the file, and where standard error goes. Over the status socket the parent gets the
child's exit status and its use of CPU and memory; closing that socket kills the child.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import os
import selectors
import signal
import socket
import struct
import sys
import tempfile
import traceback
from pathlib import Path

from av_pipelines.intake import containers, passes, worker
from av_pipelines.intake.messages import Channel
from av_pipelines.intake.settings import AudioSettings, SourceSettings
from av_pipelines.intake.taps import audio_taps, source_taps
from av_pipelines.media import sandbox

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage: bytes there, KiB on Linux


def main(control: socket.socket) -> None:
    """Serve until the parent closes its end of the control socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    woken, waker = socket.socketpair()
    for end in (woken, waker):
        end.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    _warm_up()
    gc.freeze()  # leave what is shared with the children alone

    children: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is control:
                    if not _fork(control, children, selector):
                        return
                elif key.fileobj is woken:
                    _reap(woken, children, selector)
                elif key.data in children:  # and not reaped a moment ago
                    _kill(key.data)
                    selector.unregister(key.fileobj)


def _warm_up() -> None:
    """Run the pass over a sound of our own: what is loaded and laid out here, no child has to."""
    rate = 48_000
    data = bytes(rate * 4)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, rate, rate * 4, 4, 16)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(data)) + data
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as file:
        file.write(struct.pack("<4sI", b"RIFF", len(body)) + body)
        file.flush()
        out, settings = Path(folder), SourceSettings()
        taps = [spec.make() for spec in (*source_taps(out), *audio_taps(out))]
        container, media = containers.open_media(file.fileno(), settings, AudioSettings())
        with container:
            passes.run_pass(container, file.fileno(), media, taps, settings)
    sandbox.readable()
    importlib.import_module("av.subtitles.stream")  # by PyAV, with the first file it opens


def _fork(
    control: socket.socket, children: dict[int, socket.socket], selector: selectors.BaseSelector
) -> bool:
    word, fds, _, _ = socket.recv_fds(control, 1, 4)
    if not word:
        for pid in children:
            _kill(pid)
        return False
    connection, status, source, errors = fds
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become_child(server, connection, source, errors)
    for fd in (connection, source, errors):
        os.close(fd)
    children[pid] = socket.socket(fileno=status)
    selector.register(children[pid], selectors.EVENT_READ, pid)
    return True


def _become_child(server: int, connection: int, source: int, errors: int) -> None:
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        sandbox.die_with_parent()
        if os.getppid() != server:
            return  # it ended before it was asked for
        # First out of the way of the numbers they are to have.
        given = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (errors, connection, source)]
        nothing = os.open(os.devnull, os.O_RDWR)
        for number, fd in enumerate((nothing, nothing, *given)):
            os.dup2(fd, number)
        os.closerange(5, os.sysconf("SC_OPEN_MAX"))
        worker.serve(Channel(socket.socket(fileno=3)), 4)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        worker.end(status)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _reap(
    woken: socket.socket, children: dict[int, socket.socket], selector: selectors.BaseSelector
) -> None:
    with contextlib.suppress(BlockingIOError):
        while woken.recv(64):
            pass
    for pid in list(children):
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if not ended:
            continue
        said = {
            "status": os.waitstatus_to_exitcode(status),
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_rss_bytes": usage.ru_maxrss * _MAXRSS_UNIT,
        }
        parent = children.pop(pid)
        with contextlib.suppress(KeyError):
            selector.unregister(parent)
        with contextlib.suppress(OSError):  # the parent may have lost interest
            Channel(parent).send(said)
        parent.close()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
