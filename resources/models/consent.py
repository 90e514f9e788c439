"""What the user agreed to download: said once, remembered in the model folder.

``AVP_CONSENT`` in the environment says it for machines nobody sits at: names of models, separated
by commas, or ``all``.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from resources.models.registry import FOLDER_VARIABLE, Entry, ModelError

CONSENT_VARIABLE = "AVP_CONSENT"


def has_consent(entry: Entry, folder: Path) -> bool:
    """Whether the user agreed to this model from this origin under this licence."""
    named = {name.strip() for name in os.environ.get(CONSENT_VARIABLE, "").split(",")}
    if named & {"all", entry.name}:
        return True
    try:
        said = json.loads(_note(entry, folder).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and {k: said.get(k) for k in _terms(entry)} == _terms(entry)


def give_consent(entry: Entry, folder: Path) -> None:
    """Remember that the user agreed; ``MODEL_DOWNLOAD_FAILED`` if the folder cannot be written."""
    note = _note(entry, folder)
    record = _terms(entry) | {"agreed": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(record), "utf-8")
    except OSError as error:
        raise ModelError(
            "MODEL_DOWNLOAD_FAILED",
            f"the model folder {folder} cannot be written to ({error}). Set {FOLDER_VARIABLE} to "
            "one that can",
        ) from error


def require_consent(entry: Entry, folder: Path) -> None:
    """Raise ``CONSENT_REQUIRED``, with what there is to agree to, unless the user agreed."""
    if has_consent(entry, folder):
        return
    raise ModelError(
        "CONSENT_REQUIRED",
        f"{entry.name} may be downloaded from {entry.origin} (licence {entry.licence}) when you "
        f"agree. Run: avp models pull {entry.name} --yes — or set "
        f"{CONSENT_VARIABLE}={entry.name}",
    )


def _terms(entry: Entry) -> dict[str, str]:
    return {"model": entry.name, "origin": entry.origin, "licence": entry.licence}


def _note(entry: Entry, folder: Path) -> Path:
    return folder / ".consent" / f"{entry.name}.json"
