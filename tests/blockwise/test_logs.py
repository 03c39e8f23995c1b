"""What processes tell in their logs, and how it is found again."""

import json
import logging
from pathlib import Path

from neuroadda.blockwise.logs import log_events
from neuroadda.runs.events import read_events

log = logging.getLogger("neuroadda.somewhere")


def test_an_event_is_a_line_of_json_with_what_it_is_about(tmp_path):
    file = tmp_path / "logs/predict/worker-0.log"
    file.parent.mkdir(parents=True)
    with log_events("predict", file):
        log.info("a worker starts")
        log.error("block %d failed:\ntwo lines", 3, extra={"block": 3, "cause": "memory", "traceback": "t"})
        try:
            raise ValueError("bad")
        except ValueError:
            logging.getLogger("other").warning("odd", exc_info=True)
    log.error("nobody hears this", extra={"block": 3})
    first, second, third = map(json.loads, file.read_text().splitlines())
    assert first.keys() == {"time", "level", "stage", "host", "pid", "message"}
    assert (first["level"], first["stage"], first["message"]) == ("info", "predict", "a worker starts")
    assert second == first | second
    assert (second["message"], second["block"], second["cause"], second["traceback"]) == (
        "block 3 failed:\ntwo lines",
        3,
        "memory",
        "t",
    )
    assert third["traceback"].endswith("ValueError: bad")


def write(file: Path, *lines: dict | str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))


def event(time: str, message: str, stage: str = "predict", **more) -> dict:
    return {"time": time, "level": "info", "stage": stage, "host": "h", "pid": 1, "message": message} | more


def test_events_of_all_workers_come_by_time_with_what_else_was_printed(tmp_path):
    write(tmp_path / "predict/worker-0.log", event("01", "a"), "Segmentation fault", "[1, 2]", event("04", "d"))
    write(tmp_path / "predict/worker-1.log", event("02", "b", block=3), event("03", "c", block=3, cause="error"))
    write(tmp_path / "edges/serial.log", event("05", "e", "edges", block=3, cause="user"))
    write(tmp_path / "scheduler.log", "daisy says")

    def messages(*filters, **named) -> list[str]:
        return [event["message"] for event in read_events(tmp_path, *filters, **named)]

    assert messages() == ["a", "Segmentation fault", "[1, 2]", "b", "c", "d", "e"]
    assert messages("edges") == ["e"]
    assert messages(block=3) == ["b", "c", "e"]
    assert messages(failed=True) == ["c", "e"]
    assert messages("predict", 3, True) == ["c"]
    printed = [event for event in read_events(tmp_path) if event["level"] == "output"]
    assert [(event["time"], event["stage"], Path(event["file"]).name) for event in printed] == [
        ("01", "predict", "worker-0.log")
    ] * 2
