"""Adapt a backbone to a new volume by a few labelled boxes, and segment with the result.

    python pipelines/adapt.py --config adapt.toml                   its [adapt], and [segment] if there is one; see docs/tutorial.md
    python pipelines/adapt.py --config adapt.toml --labels drawn    again, with what a person has labelled

Finished work is skipped. Exit code 3: a person is needed; boxes to draw in lie in the round's folder crops.
"""

import argparse
import sys
from pathlib import Path

import neuroadda as na
from neuroadda.active.exports import NAMES, export_proposals
from neuroadda.active.labels import import_labels


def main() -> None:
    """Adapt as far as there are labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--labels", help="whatever `neuroadda proposals import` takes")
    given = parser.parse_args()
    config = na.load_config(given.config)
    if config.adapt is None:
        raise na.UserError("there is no [adapt] section", str(given.config), "see docs/tutorial.md")

    # Rank the zoo, propose boxes; fine-tune where they are labelled already.
    done = na.adapt(config=config.adapt)

    # Take the labels that a person has drawn, and go on.
    if done.waiting and given.labels is not None:
        last = done.rounds[-1]
        for imported in import_labels(last.proposals, given.labels, last.labels):
            print(f"roi_{imported.rank}: {imported.ids} ids", *imported.notes, sep="; ")
        done = na.adapt(config=config.adapt)

    # Hand on the boxes that are not labelled yet.
    if done.waiting:
        last = done.rounds[-1]
        crops = last.asked / NAMES["crops"]
        if not crops.exists():
            export_proposals("crops", last.proposals, crops)
        where = f"boxes {last.missing} of {last.asked} wait for labels"
        raise na.PersonNeeded(f"{where}: draw in {crops}, and give it as --labels")
    print(f"{done.backbone}: {done.describe_scores()}")

    # Segment with the adapted backbone.
    if config.segment is not None:
        print(na.segment(config=config.segment, backbone=done.backbone).path)


if __name__ == "__main__":
    try:
        main()
    except (na.UserError, na.PersonNeeded) as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
