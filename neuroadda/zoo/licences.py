"""What the data of a backbone may be used for, by the words of their licences."""

import re

from neuroadda.backbones.card import Card

LIMITED = r"\bnc\b|non-?\s?commercial"
FREE = r"\b(cc0|cc[ -]by(?!-nd)|bsd|mit|apache|odc|pddl|public domain)\b"


def list_licences(card: Card) -> list[str]:
    """Return the licences of the data that a backbone was trained on, each once."""
    return list(dict.fromkeys(str(sample.get("licence") or "none stated") for sample in card.training_data))


def tell_commercial_use(licence: str) -> str:
    """Return whether licences, separated by semicolons, allow commercial use: "no", "yes", or "not stated".

    It is "no" if one of them limits it, and "yes" if all are known to allow it.
    """
    if re.search(LIMITED, licence, re.IGNORECASE):
        return "no"
    known = all(re.search(FREE, one, re.IGNORECASE) for one in licence.split(";"))
    return "yes" if known else "not stated"
