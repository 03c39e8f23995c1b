"""MongoDB with a login and TLS, signed by an authority of the test's own: what works, and what each mistake is told as."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pymongo import MongoClient

from neuroadda.errors import UserError
from neuroadda.ledger.base import BlockRecord, LedgerUnavailable, Worker
from neuroadda.ledger.open import open_ledger
from tests.ledger.certificates import Authority, make_authority

USER, PASSWORD = "ann", "c0rrect-h0rse"
RECORD = BlockRecord(fingerprint="f", block=0, status="done", worker=Worker(host="h", pid=1), started=1.0)


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(tmp_path_factory, mongo_server, authority) -> Iterator[Callable[..., str]]:
    """``server(user=..., ca=...)``: the URL of a server that wants TLS and a login."""
    folder = tmp_path_factory.mktemp("mongo")
    with (
        mongo_server(folder, *authority.options, ca=authority.ca) as address,
        MongoClient(f"mongodb://{address}") as client,
    ):
        client.admin.command("createUser", USER, pwd=PASSWORD, roles=["root"])
    with mongo_server(folder, *authority.options, "--auth", ca=authority.ca) as address:
        place = address.partition("/")[0]

        def url(password: str = PASSWORD, place: str = place, **options: object) -> str:
            known = {"tls": "true", "tlsCAFile": authority.ca, "authSource": "admin", "directConnection": "true"}
            known |= {"retryWrites": "false", "serverSelectionTimeoutMS": 3000}
            told = "&".join(f"{key}={value}" for key, value in (known | options).items() if value is not None)
            return f"mongodb://{USER}:{password}@{place}/db?{told}"

        url.port = place.rpartition(":")[2]  # type: ignore[attr-defined]
        yield url


@pytest.mark.system
def test_a_ledger_behind_a_login_and_tls(server) -> None:
    ledger = open_ledger(server(serverSelectionTimeoutMS=30_000))
    ledger.write([RECORD])
    assert ledger.done_mask("f", 2).tolist() == np.array([True, False]).tolist()
    ledger.close()


def mistakes(server, authority: Authority, folder: Path) -> dict[str, str]:
    other = make_authority(folder / "other")
    return {
        "refuses the login": server(password="wr0ng-h0rse"),
        "certificate is not trusted": server(tlsCAFile=other.ca),
        "not of this host": server(place=f"localhost:{server.port}"),
        "does it want tls=true": server(tls=None, tlsCAFile=None),
        "a file that the URL names for TLS is missing": server(tlsCAFile=folder / "none.pem"),
        "or is no certificate": server(tlsCAFile=authority.key),
        "tlsCertificateKeyFile": server(
            tlsCertificateKeyFile=folder / "none.pem", tlsCertificateKeyFilePassword="0f-key"
        ),
    }


@pytest.mark.system
def test_each_mistake_is_one_line_without_the_password(server, authority, tmp_path) -> None:
    for told, url in mistakes(server, authority, tmp_path).items():
        with pytest.raises(UserError) as caught:
            open_ledger(url).write([RECORD])
        line = str(caught.value)
        assert told in line
        assert "\n" not in line
        assert not any(secret in line for secret in (PASSWORD, "wr0ng-h0rse", "0f-key", USER))
        # Only what time may mend is said again by the workers.
        assert isinstance(caught.value, LedgerUnavailable) == ("does it want" in told)
