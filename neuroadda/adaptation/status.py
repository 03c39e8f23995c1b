"""How far an adaptation is, from its folder alone; torch is not imported."""

import json
from pathlib import Path
from typing import Any

from neuroadda.config import load_config_file
from neuroadda.errors import UserError
from neuroadda.locks import read_lock
from neuroadda.runs.folder import CONFIG
from neuroadda.runs.health import GO_ON, Health, say_end

SUMMARY, LEFT_ONE_OUT = "adaptation.json", "left_one_out"
TUNED = "tune.json"  # of a tuning, when it has ended


def look_at_adaptation(folder: Path) -> Health | None:
    """Return how an adaptation does; None if there is none in the folder."""
    try:
        config = load_config_file(folder / CONFIG)
        count = int(config["rounds"])
        config["propose"]
    except (UserError, LookupError, TypeError, ValueError):
        return None
    rounds = _read_rounds(folder)
    lock = read_lock(folder)
    done = sum(1 for each in rounds if each.get("backbone"))
    told = f"{done} of {count} rounds are done"
    if lock is not None and lock.state == "held" and done >= count:
        where = f"neuroadda status {folder / f'round_{done}' / LEFT_ONE_OUT}"
        return Health("running", f"Running: {told}; fine-tunes once more without one box, to score on it.", where)
    if lock is not None and lock.state == "held":
        where = f"neuroadda status {folder / f'round_{done + 1}'}"
        return Health("running", f"Running: {told}.", f"How far the boxes of a round are: {where}, and {where}/train")
    waiting = rounds[-1].get("waiting_for") if rounds else None
    if waiting:
        last = rounds[-1].get("proposals") or rounds[-1]["folder"]
        advice = f"Label them, bring labels back by `neuroadda proposals import {last} LABELS`, and run the same command again."
        return Health("waiting", f"Waiting: {len(waiting)} boxes in {last} have no labels yet; {told}.", advice)
    if done >= count:
        used = f"neuroadda segment RAW --backbone {folder / 'backbone'} -o OUT"
        return Health("finished", f"Finished: {told}; the backbone is {folder / 'backbone'}.", f"Use it: {used}")
    state, first = say_end("stopped" if lock is None else lock.state)
    return Health(state, f"{first}: {told}.", GO_ON)


def look_at_tuning(folder: Path) -> Health | None:
    """Return what a tuning in the folder has chosen; None if no tuning has ended there."""
    try:
        told = str(load_config_file(folder / TUNED)["told"])
    except (UserError, LookupError, TypeError):
        return None
    taken = folder / TUNED.replace(".json", ".toml")
    return Health("finished", f"Finished: tuned to {told}.", f"Use it: neuroadda segment RAW -c {taken} -o OUT")


def _read_rounds(folder: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads((folder / SUMMARY).read_text(encoding="utf-8"))["rounds"])
    except (OSError, ValueError, LookupError, TypeError):
        return []
