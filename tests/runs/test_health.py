from typing import Any

import pytest

from neuroadda.ledger.base import Summary
from neuroadda.runs.health import Pulse, judge

NOW = 10_000.0


def make_pulse(name: str = "predict", blocks: int = 1000, last: float = NOW - 5, longest: float = 10.0, **counts: Any):
    return Pulse(name, blocks, Summary(**counts), longest, last)


DONE = make_pulse(done=1000, last=NOW - 300)


@pytest.mark.parametrize(
    ("pulses", "state", "words"),
    [
        ([], "empty", "no stage yet"),
        ([make_pulse(done=412, running=4)], "running", "predict has 412 of 1,000 blocks done (41.2 %)"),
        ([make_pulse(done=412, running=4)], "running", "the last record is 5 s old, and nothing failed"),
        ([make_pulse(done=412, running=4, failed=3)], "running", "But 3 blocks failed"),
        ([DONE, make_pulse("fragments", last=NOW - 2)], "running", "fragments has 0 of 1,000"),
        ([make_pulse(done=412, running=4, last=NOW - 119)], "running", "1 min 59 s"),
        ([make_pulse(done=412, running=4, last=NOW - 121)], "stalled", "nothing was recorded for 2 min 01 s"),
        ([make_pulse(done=4, running=4, longest=500, last=NOW - 1400)], "running", "23 min 20 s"),
        ([make_pulse(done=4, running=4, longest=500, last=NOW - 1501)], "stalled", "longest block so far took 8 min"),
        ([make_pulse(running=4, longest=0, last=NOW - 500)], "running", "0 of 1,000"),
        ([make_pulse(running=1, longest=0, last=NOW - 700)], "stalled", "1 block of predict marked as running"),
        ([make_pulse(done=999, failed=1)], "failed", "1 block failed in predict and none is running"),
        ([make_pulse(done=412, last=NOW - 100)], "stopped", "nothing of predict is running, and nothing failed"),
        ([DONE], "finished", "the one stage in the ledger is done (1,000 blocks); the last block was 5 min 00 s ago"),
        ([DONE, make_pulse("fragments", 8, done=8)], "finished", "all 2 stages in the ledger are done (1,008 blocks)"),
        # a run that failed long ago, beside one that is at work
        ([make_pulse(failed=1, last=NOW - 9000), make_pulse("edges", done=1, running=1)], "running", "edges has"),
        ([make_pulse(done=999_999, blocks=1_000_000, running=1)], "running", "(99.9 %)"),
    ],
)
def test_one_sentence_says_how_a_run_does_and_why(pulses, state, words):
    health = judge(pulses, NOW)
    assert health.state == state
    assert words in health.sentence
    assert "\n" not in health.sentence
    assert health.advice or state in ("running", "empty")


def test_a_clock_that_is_ahead_does_no_harm():
    assert judge([make_pulse(done=1, running=1, last=NOW + 60)], NOW).sentence.count("0 s old") == 1
