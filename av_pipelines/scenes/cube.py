"""Look-up tables in the ``.cube`` format (Adobe Cube LUT Specification 1.0).

Here: reading one with every number checked, and writing one. FFmpeg gets only files that were
written here. Not here: applying them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from av_pipelines.scenes.look_settings import MAX_LUT_BYTES

_MAX_3D, _MAX_1D = 129, 65_536
_LARGEST = 1e6


@dataclass(frozen=True, eq=False)
class Cube:
    """A table of colours.

    Attributes:
        size: points along each axis.
        solid: whether it is three-dimensional (size³ rows, red fastest) or per channel (size rows).
        values: float32 (rows, 3).
        low, high: the input values of its first and last point, for red, green and blue.
    """

    size: int
    solid: bool
    values: np.ndarray
    low: tuple[float, float, float] = (0.0, 0.0, 0.0)
    high: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def write(self, path: Path) -> None:
        """Write it."""
        head = [
            f"LUT_{'3D' if self.solid else '1D'}_SIZE {self.size}",
            "DOMAIN_MIN " + " ".join(f"{x:.9g}" for x in self.low),
            "DOMAIN_MAX " + " ".join(f"{x:.9g}" for x in self.high),
        ]
        with path.open("w", encoding="ascii") as file:
            file.write("\n".join(head) + "\n")
            np.savetxt(file, self.values, "%.7g")


def read_cube(path: Path) -> Cube:
    """Read a ``.cube`` file.

    Raises:
        ValueError: it is none; the message says what is wrong and in which line.
        OSError: it cannot be read.
    """
    if path.stat().st_size > MAX_LUT_BYTES:
        raise ValueError(f"{path}: larger than {MAX_LUT_BYTES} bytes, no look-up table")
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a .cube file: it is not text") from None
    low, high = Cube.low, Cube.high
    size, solid, first = 0, False, len(lines)
    for number, line in enumerate(lines):
        words = line.split()
        if not words or words[0].startswith("#") or words[0] == "TITLE":
            continue
        where = f"{path}, line {number + 1}"
        if words[0] in ("LUT_3D_SIZE", "LUT_1D_SIZE"):
            solid = words[0] == "LUT_3D_SIZE"
            size = _whole(words[1:], where, _MAX_3D if solid else _MAX_1D)
        elif words[0] in ("DOMAIN_MIN", "DOMAIN_MAX"):
            if words[0] == "DOMAIN_MIN":
                low = _three(words[1:], where)
            else:
                high = _three(words[1:], where)
        elif words[0] in ("LUT_3D_INPUT_RANGE", "LUT_1D_INPUT_RANGE"):  # DaVinci Resolve's
            ends = _numbers(words[1:], 2, where)
            low, high = (ends[0], ends[0], ends[0]), (ends[1], ends[1], ends[1])
        else:
            first = number
            break
    if not size:
        raise ValueError(f"{path}: not a .cube file: it has no LUT_3D_SIZE or LUT_1D_SIZE")
    if any(a >= b for a, b in zip(low, high, strict=True)):
        raise ValueError(f"{path}: DOMAIN_MIN {low} is not below DOMAIN_MAX {high}")
    rows = [line for line in lines[first:] if line.strip() and not line.lstrip().startswith("#")]
    wanted = size**3 if solid else size
    if len(rows) != wanted:
        raise ValueError(f"{path}: {len(rows)} rows of colours, but its size asks for {wanted}")
    try:
        values = np.loadtxt(rows, np.float64, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path}: its colours are not all numbers: {error}") from None
    if values.shape != (wanted, 3) or not (np.abs(values) < _LARGEST).all():
        raise ValueError(f"{path}: every row must have three numbers below {_LARGEST:g}")
    return Cube(size, solid, values.astype(np.float32), low, high)


def _numbers(words: list[str], count: int, where: str) -> list[float]:
    try:
        found = [float(word) for word in words]
    except ValueError:
        found = []
    if len(found) != count or not all(abs(x) < _LARGEST for x in found):
        raise ValueError(f"{where}: {count} numbers are expected, not {' '.join(words)[:60]!r}")
    return found


def _three(words: list[str], where: str) -> tuple[float, float, float]:
    a, b, c = _numbers(words, 3, where)
    return a, b, c


def _whole(words: list[str], where: str, most: int) -> int:
    size = _numbers(words, 1, where)[0]
    if size != int(size) or not 2 <= size <= most:
        raise ValueError(f"{where}: a size of 2 to {most} is expected, not {size:g}")
    return int(size)
