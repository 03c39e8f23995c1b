"""The ledger in MongoDB: for workers on many machines. Queries keep to what MongoDB 4.4 and its stand-ins agree on."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
from pymongo import DeleteOne, MongoClient, UpdateOne, WriteConcern
from pymongo.database import Database
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    InvalidName,
    OperationFailure,
    PyMongoError,
)

from neuroadda.errors import UserError
from neuroadda.ledger.base import (
    BlockColumns,
    BlockRecord,
    FailureGroup,
    LedgerUnavailable,
    Status,
    Summary,
    TaskRecord,
)
from neuroadda.ledger.shared import (
    BLOCK_FIELDS,
    LATEST,
    block_document,
    coalesce,
    group_failures,
    measure_rate,
    to_columns,
    to_plain,
)

DEFAULT_DATABASE = "neuroadda"
DURABLE = WriteConcern("majority", j=True)  # anything less loses acknowledged writes when the server is killed
DUPLICATE_KEY = 11000
REFUSED_LOGIN = (18, 8000)  # 8000 is what Atlas says
UNAUTHORIZED = 13
ROWS = 10_000

Document = dict[str, Any]


class MongoLedger:
    """A ledger in a MongoDB database: collection ``tasks`` by the task's key, ``blocks`` by ``<key>:<block>``.

    Parameters
    ----------
    url
        ``mongodb://user:password@host:port/database?options``; the database is ``neuroadda`` where the URL names none.

    Raises
    ------
    UserError
        If the URL is malformed or, by any method, if the server refuses the login; `LedgerUnavailable` if it does not
        answer within five seconds. Messages never contain credentials.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._clients: dict[int, MongoClient[Document]] = {}  # by process: a client does not survive a fork
        with self._database():
            pass

    def register(self, task: TaskRecord) -> None:
        with self._database() as database:
            database.blocks.create_index([("fingerprint", 1), ("status", 1), ("finished", 1)])
            database.tasks.replace_one({"_id": task.fingerprint}, to_plain(task.model_dump()), upsert=True)

    def task(self, fingerprint: str) -> TaskRecord | None:
        with self._database() as database:
            found = list(database.tasks.find({"_id": fingerprint}, {"_id": 0}))
        return TaskRecord(**to_plain(found[0])) if found else None

    def tasks(self) -> list[TaskRecord]:
        with self._database() as database:
            found = [TaskRecord(**to_plain(document)) for document in database.tasks.find({}, {"_id": 0})]
        return sorted(found, key=lambda task: (task.created, task.fingerprint))

    def write(self, records: Sequence[BlockRecord]) -> None:
        if not records:
            return
        merged = coalesce(records)  # a bulk is unordered: one operation a block
        with self._database() as database:
            try:
                database.blocks.bulk_write([_upsert(record) for record in merged], ordered=False)
            except BulkWriteError as error:
                wrong = error.details["writeErrors"]
                if error.details["writeConcernErrors"] or any(each["code"] != DUPLICATE_KEY for each in wrong):
                    raise
                # The filter passed by a block that exists: it is done, or another worker inserted it just now.
                again = [update for each in wrong for update in _updates(merged[each["index"]])]
                database.blocks.bulk_write(again, ordered=False)

    def done_mask(self, fingerprint: str, blocks: int) -> np.ndarray:
        mask = np.zeros(blocks, dtype=bool)
        with self._database() as database:
            done = database.blocks.find({"fingerprint": fingerprint, "status": "done"}, {"_id": 0, "block": 1})
            indices = np.fromiter((document["block"] for document in done), dtype=np.int64)
        mask[indices[indices < blocks]] = True
        return mask

    def summary(self, fingerprint: str) -> Summary:
        group = {
            "_id": "$status",
            "count": {"$sum": 1},
            "seconds": {"$sum": "$seconds"},
            "voxels": {"$sum": "$voxels"},
            "started": {"$min": "$started"},
            "finished": {"$max": "$finished"},
        }
        with self._database() as database:
            found = list(database.blocks.aggregate([{"$match": {"fingerprint": fingerprint}}, {"$group": group}]))
            done_at = {
                "fingerprint": fingerprint,
                "status": "done",
                "finished": {"$ne": None},
                "seconds": {"$ne": None},
            }
            timed = {"_id": 0, "started": 1, "finished": 1, "voxels": 1}
            latest = list(database.blocks.find(done_at, timed).sort("finished", -1).limit(LATEST))
        done: Document = next((each for each in found if each["_id"] == "done"), {})
        return Summary(
            **{each["_id"]: each["count"] for each in found},
            seconds=done.get("seconds", 0.0),
            voxels=done.get("voxels", 0),
            started=min((each["started"] for each in found), default=None),
            finished=max((each["finished"] for each in found if each["finished"] is not None), default=None),
            voxels_per_second=measure_rate([(b["started"], b["finished"], b["voxels"]) for b in latest]),
        )

    def failures(self, fingerprint: str, since: float = 0.0) -> list[FailureGroup]:
        late = {"$gte": since}
        failed_since = {
            "fingerprint": fingerprint,
            "status": "failed",
            "$or": [{"finished": late}, {"finished": None, "started": late}],
        }
        with self._database() as database:
            failed = database.blocks.find(failed_since, {"_id": 0, "block": 1, "failure": 1})
            return group_failures((document["block"], document["failure"]) for document in failed)

    def blocks(self, fingerprint: str, status: Status | None = None) -> list[dict[str, Any]]:
        wanted = {"fingerprint": fingerprint} | ({} if status is None else {"status": status})
        with self._database() as database:
            found = list(database.blocks.find(wanted))
        # Sorted here: a server sorts no more than 100 MB.
        found.sort(key=lambda document: document["block"])
        return [to_plain({field: document[field] for field in BLOCK_FIELDS}) for document in found]

    def reset(self, fingerprint: str) -> None:
        with self._database() as database:
            database.blocks.delete_many({"fingerprint": fingerprint})
            database.tasks.delete_one({"_id": fingerprint})

    def forget(self, fingerprint: str, blocks: Sequence[int]) -> None:
        with self._database() as database:
            for first in range(0, len(blocks), ROWS):
                deletes = [DeleteOne({"_id": f"{fingerprint}:{block}"}) for block in blocks[first : first + ROWS]]
                database.blocks.bulk_write(deletes, ordered=False)

    def outsiders(self, fingerprint: str, blocks: int) -> list[int]:
        outside = {"fingerprint": fingerprint, "$or": [{"block": {"$lt": 0}}, {"block": {"$gte": blocks}}]}
        with self._database() as database:
            return sorted(int(document["block"]) for document in database.blocks.find(outside, {"_id": 0, "block": 1}))

    def recorded(self) -> list[str]:
        with self._database() as database:
            return sorted(each["_id"] for each in database.blocks.aggregate([{"$group": {"_id": "$fingerprint"}}]))

    def close(self) -> None:
        if client := self._clients.pop(os.getpid(), None):
            client.close()

    def columns(self, fingerprint: str, since: float = 0.0) -> Iterator[BlockColumns]:
        late = {"$gte": since}
        wanted = {"fingerprint": fingerprint, "$or": [{"finished": late}, {"finished": None, "started": late}]}
        fields = ("block", "status", "seconds", "worker", "started", "finished")
        with self._database() as database:
            found = database.blocks.find(wanted, {"_id": 0} | dict.fromkeys(fields, 1))
            while some := list(islice(found, ROWS)):
                whens = [row["started"] if row["finished"] is None else row["finished"] for row in some]
                rows = [
                    (row["block"], row["status"], when, row["seconds"], row["worker"])
                    for row, when in zip(some, whens, strict=True)
                ]
                yield to_columns(rows, lambda worker: (worker["host"], worker["pid"]), to_plain)

    @contextmanager
    def _database(self) -> Iterator[Database[Document]]:
        try:
            client = self._clients.get(os.getpid())
            if client is None:
                client = self._clients.setdefault(os.getpid(), _connect(self._url))
            yield client.get_default_database(DEFAULT_DATABASE, write_concern=DURABLE)
        except PyMongoError as error:
            explained = explain(error, self._url)
            if explained is None:
                raise
            raise explained from error


def redact(url: str) -> str:
    """Return the URL without user, password and options (which may hold secrets too), for messages."""
    scheme, _, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    if "?" in login:  # of the password, or does an option have the @?
        return f"{scheme}://***"
    return f"{scheme}://{'***' if at else ''}{at}{place.partition('?')[0]}"


def explain(error: PyMongoError, url: str) -> UserError | None:
    """Say in one line what is wrong with the server or its URL; None for an error that is neither."""
    if isinstance(error, ConnectionFailure):
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            what = "the MongoDB server's certificate is not trusted, or not of this host"
            return UserError(what, redact(url), "name who signed it by tlsCAFile, and the host as the certificate does")
        right = "is it running, is its port reachable, and does it want tls=true?"
        return LedgerUnavailable("no MongoDB server answers", redact(url), right)
    code = error.code if isinstance(error, OperationFailure) else None
    if code in REFUSED_LOGIN:
        return UserError("the MongoDB server refuses the login", redact(url), "check user, password and authSource")
    if code == UNAUTHORIZED:
        return UserError("the MongoDB server does not permit this", redact(url), "give a user who may read and write")
    if isinstance(error, ConfigurationError | InvalidName):
        return _malformed(url)
    return None


def _malformed(url: str) -> UserError:
    return UserError(
        "this is not the URL of a MongoDB server, or its options do not fit each other",
        redact(url),
        "write mongodb://user:password@host:port/database with special characters of the password as %XX",
    )


def _connect(url: str) -> MongoClient[Document]:
    # A socket that stays silent for a minute is dead; without a limit its reader would wait for ever.
    defaults = {"serverSelectionTimeoutMS": 5_000, "socketTimeoutMS": 60_000}
    options: Any = {key: value for key, value in defaults.items() if key.lower() not in url.lower()}
    try:
        return MongoClient(url, **options)
    except (ConfigurationError, ValueError, TypeError):
        raise _malformed(url) from None  # the error may quote parts of the password
    except OSError:
        what = "a file that the URL names for TLS is missing, or is no certificate"
        raise UserError(what, redact(url), "check tlsCAFile and tlsCertificateKeyFile") from None


def _filter(record: BlockRecord) -> Document:
    key: Document = {"_id": f"{record.fingerprint}:{record.block}"}
    return key if record.status == "done" else key | {"status": {"$ne": "done"}}


def _changes(record: BlockRecord) -> tuple[Document, Document]:
    fields = {"fingerprint": record.fingerprint} | to_plain(block_document(record))
    return {"$inc": {"tries": fields.pop("tries")}}, {"$set": fields}


def _upsert(record: BlockRecord) -> UpdateOne:
    count, fields = _changes(record)
    return UpdateOne(_filter(record), fields | count, upsert=True)


def _updates(record: BlockRecord) -> tuple[UpdateOne, UpdateOne]:
    count, fields = _changes(record)
    return UpdateOne({"_id": _filter(record)["_id"]}, count), UpdateOne(_filter(record), fields)
