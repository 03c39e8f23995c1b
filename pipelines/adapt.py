"""Adapt a backbone to a new volume: rank, propose, hand boxes on, take labels back, fine-tune, compare; segment with the result.

    python pipelines/adapt.py --config adapt.toml                   its [adapt], and [segment] if there is one; see docs/tutorial.md
    python pipelines/adapt.py --config adapt.toml --labels drawn    again, with what a person has labelled

Finished work is skipped. Exit code 3: a person is needed; boxes to draw in lie in the round's folder crops.
"""

import argparse
import sys
from pathlib import Path

from neuroadda import flow
from neuroadda.active.exports import NAMES, export_proposals
from neuroadda.active.labels import import_labels
from neuroadda.adaptation import Adaptation, AdaptConfig, adapt
from neuroadda.blockwise.engine import Observer
from neuroadda.cli.console import print_summary, show_progress
from neuroadda.config import load_config_file, parse_config
from neuroadda.errors import PersonNeeded, UserError


def adapt_with(labels: str | None, config: AdaptConfig, observe: Observer) -> Adaptation:
    """Go on with an adaptation; where it waits for labels, import those that are given, or export the boxes."""
    done = adapt(config, observe=observe)
    if done.waiting and labels is not None:
        last = done.rounds[-1]
        for imported in import_labels(last.proposals, labels, last.labels):
            print(f"roi_{imported.rank}: {imported.ids} ids", *imported.notes, sep="; ")
        done = adapt(config, observe=observe)
    if done.waiting:
        last = done.rounds[-1]
        crops = last.folder / NAMES["crops"]
        if not crops.exists():
            export_proposals("crops", last.proposals, crops)
        raise PersonNeeded(
            f"boxes {last.missing} of {last.folder} wait for labels: draw in {crops}, and give it as --labels"
        )
    return done


def main() -> None:
    """Adapt as far as there are labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--labels", help="whatever `neuroadda proposals import` takes")
    given = parser.parse_args()
    config = parse_config(flow.RunConfig, load_config_file(given.config), str(given.config))
    if config.adapt is None:
        raise UserError("there is no [adapt] section", str(given.config), "see docs/tutorial.md")
    with show_progress(quiet=False) as observe:
        done = adapt_with(given.labels, config.adapt, observe)
        print(f"before: {done.before}")
        for number, round_ in enumerate(done.rounds, start=1):
            print(f"round {number}: {round_.backbone} {round_.metrics}")
        if config.segment is not None:
            print_summary(flow.run(config, observe=observe))


if __name__ == "__main__":
    try:
        main()
    except (UserError, PersonNeeded) as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
