"""A day's work with pymongo. Run by run.sh: python day_pymongo.py URI, the URI
being an administrator's, with CLIENT_SHARDED set."""

import os
import re
import sys
import time

import gridfs
import pymongo
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp
from pymongo.errors import BulkWriteError, OperationFailure

URI = sys.argv[1]
SHARDED = os.environ.get("CLIENT_SHARDED") == "1"
NAME = "day_pymongo"
client = pymongo.MongoClient(URI, compressors="zlib", serverSelectionTimeoutMS=10000)
db = client[NAME]
steps = []


def step(work):
    steps.append(work)
    return work


def refused(code, work):
    try:
        work()
    except OperationFailure as err:
        assert err.code == code, err
        return
    raise AssertionError(f"not refused with {code}")


def right_or_refused(code, work, want):
    """For what a simulator may do without."""
    try:
        got = work()
    except OperationFailure as err:
        assert err.code == code, err
        return
    assert got == want, got


@step
def crud():
    people = db.people
    assert people.insert_one({"_id": 1, "n": "a"}).inserted_id == 1
    assert len(people.insert_many([{"_id": i, "n": "b"} for i in range(2, 6)]).inserted_ids) == 4
    assert people.count_documents({"n": "b"}) == 4
    assert people.update_many({"n": "b"}, {"$inc": {"x": 2}, "$currentDate": {"t": True}}).modified_count == 4
    assert people.update_one({"_id": 2}, [{"$set": {"y": {"$add": ["$x", 1]}}}]).modified_count == 1
    assert people.find_one({"_id": 2})["y"] == 3
    assert people.find_one_and_replace({"_id": 5}, {"n": "z"}, return_document=True) == {"_id": 5, "n": "z"}
    assert people.delete_many({"_id": {"$gte": 4}}).deleted_count == 2
    assert sorted(people.distinct("n")) == ["a", "b"]
    refused(11000, lambda: people.insert_one({"_id": 1}))


@step
def types():
    doc = {
        "_id": ObjectId(), "long": Int64(1 << 60), "dec": Decimal128("1.50"), "bin": Binary(b"\x00\xff", 5),
        "ts": Timestamp(7, 1), "re": Regex("^a", "i"), "nested": {"list": [1, None, {"a": 2.5}]},
    }
    db.types.insert_one(doc)
    assert db.types.find_one() == doc
    assert db.types.count_documents({"long": {"$type": "long"}, "nested.list.a": 2.5}) == 1
    assert db.people.count_documents({"n": re.compile("^A", re.I)}) == 1


@step
def bulk_writes():
    ops = [pymongo.InsertOne({"_id": 1}), pymongo.UpdateOne({"_id": 2}, {"$set": {"a": 1}}, upsert=True), pymongo.DeleteOne({"_id": 1})]
    result = db.bulk.bulk_write(ops)
    assert (result.inserted_count, result.upserted_count, result.deleted_count) == (1, 1, 1)
    try:
        db.bulk.insert_many([{"_id": 2}, {"_id": 3}], ordered=False)
        raise AssertionError("the duplicate was not noticed")
    except BulkWriteError as err:
        assert err.details["nInserted"] == 1 and err.details["writeErrors"][0]["code"] == 11000


@step
def aggregation():
    db.sales.insert_many([{"_id": i, "g": i % 2, "n": i} for i in range(10)])
    groups = db.sales.aggregate([{"$group": {"_id": "$g", "n": {"$sum": "$n"}, "all": {"$push": "$n"}}}, {"$sort": {"_id": 1}}])
    assert [(d["_id"], d["n"], len(d["all"])) for d in groups] == [(0, 20, 5), (1, 25, 5)]
    db.sales.aggregate([{"$match": {"g": 1}}, {"$out": "odd"}])
    assert db.odd.count_documents({}) == 5
    assert list(db.sales.aggregate([{"$unionWith": "odd"}, {"$count": "n"}])) == [{"n": 15}]


@step
def indexes_and_explain():
    assert db.people.create_index([("n", 1), ("x", -1)]) == "n_1_x_-1"
    assert set(db.people.index_information()) == {"_id_", "n_1_x_-1"}
    assert "IXSCAN" in str(db.people.find({"n": "a"}).explain())
    assert [d["_id"] for d in db.people.find({"n": "b"}).hint("n_1_x_-1").sort("_id")] == [2, 3]
    db.people.drop_index("n_1_x_-1")
    refused(27, lambda: db.people.drop_index("nope"))


@step
def cursors():
    db.many.insert_many([{"_id": i, "pad": "x" * 1000} for i in range(500)])
    assert [d["_id"] for d in db.many.find().sort("_id", -1).batch_size(11)] == list(range(499, -1, -1))
    db.create_collection("tail", capped=True, size=4096)
    db.tail.insert_one({"_id": 1})
    tail = db.tail.find(cursor_type=pymongo.CursorType.TAILABLE_AWAIT).max_await_time_ms(50)
    assert next(tail)["_id"] == 1
    db.tail.insert_one({"_id": 2})
    assert next(tail)["_id"] == 2
    tail.close()


@step
def transactions():
    with client.start_session() as session:
        session.with_transaction(lambda s: [db.people.insert_one({"_id": "t"}, session=s), db.other.insert_one({"_id": "t"}, session=s)])
        session.start_transaction()
        db.people.delete_one({"_id": "t"}, session=session)
        assert db.people.count_documents({"_id": "t"}) == 1
        session.abort_transaction()
    assert db.people.count_documents({"_id": "t"}) == 1


@step
def change_streams():
    def take(stream):
        deadline = time.monotonic() + 40  # behind a router an event waits for the idle shards' next no-op
        while time.monotonic() < deadline:
            event = stream.try_next()
            if event:
                return event
        raise AssertionError("no event")

    with db.watch(max_await_time_ms=200, full_document_before_change="whenAvailable") as stream:
        db.events.insert_one({"_id": 1})
        db.events.update_one({"_id": 1}, {"$set": {"a": 1}})
        first = take(stream)
        assert (first["operationType"], first["ns"]["coll"]) == ("insert", "events")
    with db.watch(resume_after=first["_id"], max_await_time_ms=200) as stream:
        assert take(stream)["updateDescription"]["updatedFields"] == {"a": 1}
        db.events.drop()
        assert take(stream)["operationType"] == "drop"


@step
def grid_fs():
    fs = gridfs.GridFSBucket(db, chunk_size_bytes=1024)
    data = bytes(range(256)) * 40
    file_id = fs.upload_from_stream("f", data)
    assert fs.open_download_stream(file_id).read() == data
    fs.rename(file_id, "g")
    assert [f.filename for f in fs.find({})] == ["g"]
    fs.delete(file_id)
    assert db.fs.chunks.count_documents({}) == 0


@step
def views_validators_collation():
    db.create_collection("v", viewOn="sales", pipeline=[{"$match": {"n": {"$gt": 7}}}])
    assert db.v.count_documents({}) == 2
    db.create_collection("strict", validator={"$jsonSchema": {"required": ["a"]}})
    refused(121, lambda: db.strict.insert_one({"b": 1}))
    db.command("collMod", "strict", validationLevel="off")
    db.strict.insert_one({"b": 1})
    db.words.insert_many([{"w": "a"}, {"w": "A"}])
    english = pymongo.collation.Collation("en", strength=2)
    right_or_refused(115, lambda: len(list(db.words.find({"w": "a"}, collation=english))), 2)


@step
def users_and_refusals():
    db.command("createRole", "reader", privileges=[{"resource": {"db": NAME, "collection": "people"}, "actions": ["find"]}], roles=[])
    db.command("createUser", "tom", pwd="pw", roles=["reader"])
    hosts = [f"{host}:{port}" for host, port in client.nodes]
    for mechanism in ("SCRAM-SHA-1", "SCRAM-SHA-256"):
        with pymongo.MongoClient(hosts, username="tom", password="pw", authSource=NAME, authMechanism=mechanism) as tom:
            assert tom[NAME].people.find_one({"_id": 1})
            refused(13, lambda: tom[NAME].sales.find_one())
            refused(13, lambda: tom[NAME].people.insert_one({}))
            status = tom.admin.command("connectionStatus", showPrivileges=True)["authInfo"]
            assert status["authenticatedUserRoles"] == [{"role": "reader", "db": NAME}]
    with pymongo.MongoClient(hosts, username="tom", password="no", authSource=NAME) as tom:
        refused(18, lambda: tom.admin.command("listDatabases"))
    with pymongo.MongoClient(hosts) as nobody:
        refused(13, lambda: nobody[NAME].people.find_one())
    db.command("updateRole", "reader", privileges=[])
    db.command("dropAllUsersFromDatabase")
    db.command("dropAllRolesFromDatabase")
    assert db.command("usersInfo")["users"] == []


@step
def the_server_itself():
    assert client.server_info()["version"].startswith("8.")
    assert NAME in client.list_database_names() and "people" in db.list_collection_names()
    assert db.command("dbStats")["collections"] > 5
    status = client.admin.command("serverStatus")
    assert status["process"] == ("mongos" if SHARDED else "mongod")
    assert db.validate_collection("people")["valid"]
    assert client.admin.command("currentOp")["inprog"]
    if not SHARDED:
        assert client.admin.command("replSetGetStatus")["myState"] == 1
        assert client.local["oplog.rs"].find_one(sort=[("$natural", -1)])["ts"]


@step
def sharding():
    if not SHARDED:
        refused(59, lambda: client.admin.command("listShards"))
        return
    client.admin.command("shardCollection", f"{NAME}.wide", key={"k": 1})
    client.admin.command("split", f"{NAME}.wide", middle={"k": 5})
    db.wide.insert_many([{"k": k} for k in range(10)])
    shards = [s["_id"] for s in client.admin.command("listShards")["shards"]]
    home = client.config.databases.find_one({"_id": NAME})["primary"]
    client.admin.command("moveChunk", f"{NAME}.wide", find={"k": 7}, to=next(s for s in shards if s != home))
    assert [d["k"] for d in db.wide.find({"k": {"$gte": 3}}).sort("k")] == list(range(3, 10))
    assert client.config.chunks.count_documents({}) >= 2
    assert db.wide.delete_many({}).deleted_count == 10


db.command("dropAllUsersFromDatabase")
db.command("dropAllRolesFromDatabase")
client.drop_database(NAME)
wrong = []
for work in steps:
    title = work.__name__.replace("_", " ")
    try:
        work()
        print(f"ok    {title}")
    except Exception as err:  # a step's failure must not hide the others'
        wrong.append(title)
        print(f"WRONG {title}: {type(err).__name__}: {err}")
client.drop_database(NAME)
client.close()
if wrong:
    sys.exit(f"{len(wrong)} wrong: {'; '.join(wrong)}")
