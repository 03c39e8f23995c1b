"""What the report of a run links to."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from neuroadda.viewing.run_report import _link_rounds


@pytest.mark.parametrize("name", ["round #1", "50% done?", "a b"])
def test_a_report_links_to_contact_sheets_by_encoded_names(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "round_1"
    linked = _link_rounds({"rounds": [{"folder": str(folder)}]}, tmp_path / "run")
    link = linked["rounds"][0]["sheet"]
    assert urlsplit(link).path == link
    assert (tmp_path / "run" / unquote(link)).resolve() == folder / "contact_sheet.html"
