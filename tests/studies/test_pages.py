"""The short pages of results fit on two screens, say what the rows support, and their tables are those of the rows."""

import re

import pytest

from neuroadda.errors import UserError
from studies.pages import LINES, RESULTS, WIDTH, claim, items, write_page
from studies.rows import read_table

choices = pytest.importorskip("studies.transfer.choices")
confounds = pytest.importorskip("studies.confounds.report")


@pytest.mark.parametrize("name", ["transfer", "boxes", "domains"])
def test_a_page_has_a_conclusion_a_table_a_figure_and_how_to_rerun(name):
    text = (RESULTS / f"{name}.md").read_text()
    lines = text.splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= WIDTH
    heads = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert heads[:4] == ["What is known", "What is not known", "What to do with a new volume", "How sure"]
    assert heads[-1] == "How to rerun"
    assert text.count("\n| --- |") == text.count("![") == 1
    assert f"]({name}_tables.md)" in text


def test_a_sentence_that_the_rows_refute_is_not_written():
    assert claim(True, "so") == "so"
    with pytest.raises(UserError, match="the rows do not support this sentence"):
        claim(False, "so")


def test_a_page_that_is_too_long_is_not_written(tmp_path):
    with pytest.raises(UserError, match="the page is too long"):
        write_page(tmp_path / "a.md", ["a\n"] * LINES, short=True)
    assert not list(tmp_path.iterdir())
    write_page(tmp_path / "a.md", [items("A", [f"{100} % of {'words ' * 40}"])], short=True)
    assert (tmp_path / "a.md").read_text().startswith("## A\n\n- 100 % of words")


def test_rows_judge_the_default_distance_as_when_it_was_measured():
    """The distances are not kept: what is known of the default one is which source it holds for the nearest."""
    nearest = choices.read_nearest()
    distances = {(t, s): float(s != nearest[t]) for t in nearest for s in choices.sources_of(t)}
    measured = {choices.DEFAULT: distances}
    again = {row.choice: row for row in choices.measure_rows("chosen", measured)}[choices.DEFAULT]
    rows = read_table(choices.ROWS, choices.ChoiceRow)
    known = next(row for row in rows if (row.threshold, row.choice) == ("chosen", choices.DEFAULT))
    for name in ("hit", "near", "regret"):
        for end in ("", "_low", "_high"):
            assert getattr(again, name + end) == pytest.approx(getattr(known, name + end), abs=0.011)


def test_the_page_of_domains_is_what_its_rows_say(tmp_path, monkeypatch):
    import studies.confounds.tables as tables

    for module in (confounds, tables):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(confounds, "PICTURES", tmp_path / "pictures")
    confounds.main()
    for name in ("domains.md", "domains_tables.md"):
        made, kept = (re.sub(r"\d{4}-\d\d-\d\d", "", (folder / name).read_text()) for folder in (tmp_path, RESULTS))
        assert made == kept
    assert (tmp_path / "pictures/domains.png").stat().st_size > 10_000
