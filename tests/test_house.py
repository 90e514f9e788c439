"""The house rules: imports point one way, and loading the definitions is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ["partitions", "resources", "av_pipelines", "sensors"]
ROOMS = [
    path.name
    for path in (ROOT / "av_pipelines").iterdir()
    if (path / "__init__.py").exists() and path.name not in ("media", "recipes", "demo")
]
MODULES = [p for layer in LAYERS for p in sorted((ROOT / layer).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_imports_point_one_way() -> None:
    wrong = []
    for path in MODULES:
        layer = path.relative_to(ROOT).parts[0]
        above = LAYERS[LAYERS.index(layer) + 1 :]
        if path.relative_to(ROOT).as_posix() == "av_pipelines/definitions.py":
            above = []  # where everything meets
        wrong += [f"{path}: {n}" for n in imported(path) if n.split(".")[0] in above]
    assert wrong == []


def test_a_room_never_imports_another_rooms_inside() -> None:
    assert {"intake", "transcripts", "masters", "reports"} <= set(ROOMS)
    wrong = []
    for room in ROOMS:
        others = tuple(f"av_pipelines.{other}" for other in ROOMS if other != room)
        for path in (ROOT / "av_pipelines" / room).rglob("*.py"):
            wrong += [f"{path}: {n}" for n in imported(path) if n.startswith(others)]
    assert wrong == []


def test_only_the_assets_modules_of_a_room_know_makers_and_dagster() -> None:
    wrong = []
    for room in ROOMS:
        for path in (ROOT / "av_pipelines" / room).rglob("*.py"):
            if path.name != "assets.py":
                known = imported(path) & {"dagster", "av_pipelines.maker", "av_pipelines.makers"}
                wrong += [f"{path}: {name}" for name in known]
    assert wrong == []


def seconds(statement: str) -> float:
    """CPU seconds of a fresh interpreter: what is compared does not depend on who else is busy."""
    code = f"import time\n{statement}\nprint(time.process_time())"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return float(result.stdout)


def test_loading_the_definitions_costs_little_more_than_importing_dagster() -> None:
    """A ratio of two things measured in turn, not a time: at most 1.5."""
    seconds("import av_pipelines.definitions")  # writes the byte code
    pairs = [
        (seconds("import av_pipelines.definitions"), seconds("import dagster")) for _ in range(5)
    ]
    assert median(mine for mine, _ in pairs) <= 1.5 * median(theirs for _, theirs in pairs)


@pytest.mark.parametrize(
    "heavy",
    ["torch", "faster_whisper", "ctranslate2", "onnxruntime", "av", "numpy", "pyarrow", "duckdb"],
)
def test_loading_the_definitions_imports_nothing_heavy(heavy: str) -> None:
    code = f"import sys, av_pipelines.definitions; print({heavy!r} in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout.strip() == "False"
