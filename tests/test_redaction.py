import pytest

from neuroadda.redaction import Redaction

URL = "mongodb://anna:s3cr%40t-word@db.lab:27017,db2.lab:27017/runs?authSource=admin&tlsCertificateKeyFilePassword=k3y-phrase"


@pytest.mark.parametrize(
    "text",
    [
        URL,
        f"ServerSelectionTimeoutError: {URL}: timed out",
        "the password s3cr@t-word was refused",
        "escaped: s3cr%40t-word",
        "cannot read the key with k3y-phrase",
        "redis://:s3cr@t-word@host/0",
    ],
)
def test_no_word_of_the_ledgers_secrets_is_shown(text):
    shown = Redaction(URL)(text)
    assert not any(secret in shown for secret in ("s3cr", "t-word", "k3y-phrase", "anna"))


def test_logins_of_other_urls_are_hidden_and_all_else_is_kept():
    hide = Redaction("sqlite:///run/ledger.db")
    assert hide("https://bob:pw@store.org/a and s3://bucket/a@b") == "https://***@store.org/a and s3://bucket/a@b"
    for text in ("", "user@host.org", 'File "/a/b.py", line 3, in f\n    x @ y\n', "mongodb://db.lab/runs"):
        assert hide(text) == text


def test_data_are_cleaned_all_through():
    data = {"a": ["x://u:p@h", 1, None, {"b": "k3y-phrase"}], "c": 2.5}
    assert Redaction(URL).clean(data) == {"a": ["x://***@h", 1, None, {"b": "***"}], "c": 2.5}
