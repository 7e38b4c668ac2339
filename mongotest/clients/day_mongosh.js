// A day's work in mongosh. Run by run.sh, which sets CLIENT_SHARDED and gives
// the URI of an administrator.
'use strict';

const sharded = process.env.CLIENT_SHARDED === '1';
const assert = require('assert');
const failures = [];

function step(name, work) {
  try {
    work();
    print(`ok    ${name}`);
  } catch (err) {
    failures.push(name);
    print(`WRONG ${name}: ${err.codeName || ''} ${err.message}`);
  }
}

function refused(code, work) {
  try {
    work();
  } catch (err) {
    assert.strictEqual(err.code, code, err.message);
    return;
  }
  assert.fail(`not refused with ${code}`);
}

// For what a simulator may do without: the right answer, or the server's word
// for an unsupported command.
function rightOrRefused(code, work, want) {
  try {
    assert.strictEqual(work(), want);
  } catch (err) {
    assert.strictEqual(err.code, code, err.message);
  }
}

const same = (got, want) => assert.deepStrictEqual(JSON.parse(EJSON.stringify(got)), want);
const name = 'day_mongosh';
const day = db.getSiblingDB(name);
day.dropAllUsers();
day.dropAllRoles();
day.dropDatabase();

step('insert, find, update, delete', () => {
  assert(day.people.insertOne({ _id: 1, name: 'Ada', born: 1815 }).acknowledged);
  day.people.insertMany([{ _id: 2, name: 'Grace', born: 1906 }, { _id: 3, name: 'Alan', born: 1912 }]);
  same(day.people.find({ born: { $gt: 1900 } }).sort({ born: -1 }).toArray().map(d => d.name), ['Alan', 'Grace']);
  assert.strictEqual(day.people.updateOne({ _id: 1 }, { $set: { title: 'Countess' } }).modifiedCount, 1);
  same(day.people.findOneAndUpdate({ _id: 2 }, { $inc: { born: 1 } }, { returnDocument: 'after' }).born, 1907);
  assert.strictEqual(day.people.replaceOne({ _id: 3 }, { name: 'Turing' }, { upsert: true }).matchedCount, 1);
  assert.strictEqual(day.people.deleteOne({ _id: 3 }).deletedCount, 1);
  assert.strictEqual(day.people.countDocuments(), 2);
  assert.strictEqual(day.people.estimatedDocumentCount(), 2);
  same(day.people.distinct('name').sort(), ['Ada', 'Grace']);
  refused(11000, () => day.people.insertOne({ _id: 1 }));
});

step('bulkWrite, ordered and not', () => {
  const r = day.bulk.bulkWrite([
    { insertOne: { document: { _id: 1 } } }, { updateOne: { filter: { _id: 1 }, update: { $set: { a: 1 } } } },
    { replaceOne: { filter: { _id: 2 }, replacement: { b: 1 }, upsert: true } }, { deleteOne: { filter: { _id: 1 } } },
  ]);
  same([r.insertedCount, r.modifiedCount, r.upsertedCount, r.deletedCount], [1, 1, 1, 1]);
  const bulk = day.bulk.initializeUnorderedBulkOp();
  bulk.insert({ _id: 2 });
  bulk.insert({ _id: 3 });
  refused(11000, () => bulk.execute());
  same(day.bulk.find().sort({ _id: 1 }).toArray(), [{ _id: 2, b: 1 }, { _id: 3 }]);
});

step('aggregation', () => {
  day.sales.insertMany([{ item: 'a', n: 1 }, { item: 'b', n: 2 }, { item: 'a', n: 3 }]);
  same(day.sales.aggregate([{ $group: { _id: '$item', n: { $sum: '$n' } } }, { $sort: { _id: 1 } }]).toArray(),
    [{ _id: 'a', n: 4 }, { _id: 'b', n: 2 }]);
  day.items.insertOne({ _id: 'a', label: 'apple' });
  same(day.sales.aggregate([{ $match: { n: 3 } }, { $lookup: { from: 'items', localField: 'item', foreignField: '_id', as: 'i' } },
    { $project: { _id: 0, label: { $first: '$i.label' } } }]).toArray(), [{ label: 'apple' }]);
  day.sales.aggregate([{ $match: { item: 'a' } }, { $out: 'a_sales' }]);
  assert.strictEqual(day.a_sales.countDocuments(), 2);
});

step('indexes', () => {
  assert.strictEqual(day.people.createIndex({ name: 1 }, { unique: true }), 'name_1');
  day.people.createIndex({ born: -1 }, { partialFilterExpression: { born: { $gt: 0 } } });
  same(day.people.getIndexes().map(i => i.name).sort(), ['_id_', 'born_-1', 'name_1']);
  refused(11000, () => day.people.insertOne({ name: 'Ada' }));
  day.people.hideIndex('born_-1');
  day.people.unhideIndex('born_-1');
  assert.strictEqual(day.people.aggregate([{ $indexStats: {} }]).toArray().length, 3);
  assert.strictEqual(day.people.dropIndex('born_-1').ok, 1);
});

step('explain', () => {
  const plan = day.people.find({ name: 'Ada' }).explain('executionStats');
  assert(JSON.stringify(plan).includes('IXSCAN'), 'no index scan');
  assert(JSON.stringify(day.people.explain().aggregate([{ $match: { born: 1 } }])).includes('COLLSCAN'));
});

step('cursors', () => {
  day.many.insertMany([...Array(250).keys()].map(i => ({ _id: i })));
  const cursor = day.many.find().sort({ _id: 1 }).batchSize(7);
  same(cursor.next(), { _id: 0 });
  assert.strictEqual(cursor.toArray().length, 249);
  assert.strictEqual(day.many.find().skip(10).limit(5).toArray().length, 5);
  assert.strictEqual(day.many.find({ _id: { $lt: 100 } }).hint({ _id: 1 }).itcount(), 100);
});

step('transactions', () => {
  const session = db.getMongo().startSession();
  const people = session.getDatabase(name).people;
  session.startTransaction({ readConcern: { level: 'snapshot' }, writeConcern: { w: 'majority' } });
  people.insertOne({ _id: 'txn', name: 'T' });
  assert.strictEqual(day.people.countDocuments({ _id: 'txn' }), 0);
  session.commitTransaction();
  assert.strictEqual(day.people.countDocuments({ _id: 'txn' }), 1);
  session.startTransaction();
  people.deleteOne({ _id: 'txn' });
  session.abortTransaction();
  assert.strictEqual(day.people.countDocuments({ _id: 'txn' }), 1);
  session.endSession();
});

step('change stream with resume', () => {
  const next = stream => {
    const deadline = Date.now() + 40000; // behind a router an event waits for the idle shards' next no-op
    while (Date.now() < deadline) {
      const event = stream.tryNext();
      if (event) return event;
    }
    return assert.fail('no event');
  };
  const stream = day.events.watch([], { fullDocument: 'updateLookup', maxAwaitTimeMS: 100 });
  day.events.insertOne({ _id: 1, a: 1 });
  const first = next(stream);
  same([first.operationType, first.fullDocument], ['insert', { _id: 1, a: 1 }]);
  day.events.updateOne({ _id: 1 }, { $set: { a: 2 } });
  day.events.deleteOne({ _id: 1 });
  stream.close();
  const resumed = day.events.watch([], { resumeAfter: first._id, maxAwaitTimeMS: 100 });
  same(next(resumed).updateDescription.updatedFields, { a: 2 });
  same(next(resumed).operationType, 'delete');
  resumed.close();
});

step('views, validators, collMod', () => {
  day.createView('adults', 'people', [{ $match: { born: { $lt: 1900 } } }]);
  same(day.adults.find({}, { name: 1, _id: 0 }).toArray(), [{ name: 'Ada' }]);
  refused(166, () => day.adults.insertOne({}));
  day.createCollection('strict', { validator: { $jsonSchema: { required: ['a'], properties: { a: { bsonType: 'int' } } } } });
  refused(121, () => day.strict.insertOne({ a: 'x' }));
  day.runCommand({ collMod: 'strict', validationAction: 'warn' });
  day.strict.insertOne({ a: 'x' });
  same(day.getCollectionInfos({ name: 'adults' })[0].type, 'view');
});

step('collation', () => {
  day.words.insertMany([{ w: 'b' }, { w: 'A' }, { w: 'a' }]);
  same(day.words.find({ w: 'a' }).collation({ locale: 'simple' }).toArray().length, 1);
  const english = () => day.words.find({ w: 'a' }).collation({ locale: 'en', strength: 2 }).toArray().length;
  rightOrRefused(115, english, 2);
});

step('users, roles and refusals', () => {
  day.createRole({ role: 'clerk', privileges: [{ resource: { db: name, collection: 'inbox' }, actions: ['insert'] }], roles: [] });
  day.createUser({ user: 'joe', pwd: 'first', roles: ['read'] });
  same(day.getUser('joe').roles, [{ role: 'read', db: name }]);
  const host = db.hello().me || db.serverStatus().host;
  const login = pwd => new Mongo(`mongodb://joe:${pwd}@${host}/${name}?authSource=${name}&directConnection=true`).getDB(name);
  refused(18, () => login('wrong'));
  const joe = login('first');
  same(joe.runCommand({ connectionStatus: 1, showPrivileges: true }).authInfo.authenticatedUsers, [{ user: 'joe', db: name }]);
  assert.strictEqual(joe.people.countDocuments() > 0, true);
  refused(13, () => joe.inbox.insertOne({}));
  refused(13, () => joe.dropDatabase());
  refused(13, () => joe.adminCommand({ serverStatus: 1 }));
  day.grantRolesToUser('joe', ['clerk']);
  joe.inbox.insertOne({});
  day.revokeRolesFromUser('joe', ['clerk']);
  refused(13, () => joe.inbox.insertOne({}));
  day.changeUserPassword('joe', 'second');
  login('second').people.findOne();
  assert.strictEqual(day.getRoles({ showBuiltinRoles: true }).roles.some(r => r.role === 'clerk'), true);
  day.dropUser('joe');
  day.dropRole('clerk');
  same(day.getUsers().users, []);
});

step('what the server says of itself', () => {
  assert(db.version().startsWith('8.'));
  assert.strictEqual(day.stats().ok, 1);
  assert.strictEqual(day.people.stats().count > 0, true);
  assert.strictEqual(db.serverStatus().ok, 1);
  assert.strictEqual(db.serverStatus().process, sharded ? 'mongos' : 'mongod');
  assert(Array.isArray(db.currentOp().inprog));
  assert.strictEqual(db.adminCommand({ getLog: 'global' }).ok, 1);
  assert(day.people.validate().valid);
  assert(db.getMongo().getDBNames().includes(name));
  assert(day.getCollectionNames().includes('people'));
  same(show('dbs').value.map(d => d.name).includes(name), true);
});

step('rs.status and rs.conf', () => {
  if (sharded) {
    refused(59, () => rs.status());
    return;
  }
  same(rs.status().members.map(m => m.stateStr), ['PRIMARY']);
  same(rs.conf().members.length, 1);
  rs.printReplicationInfo();
  rs.printSecondaryReplicationInfo();
  assert(db.getReplicationInfo().logSizeMB > 0);
});

step('sharding', () => {
  if (!sharded) {
    refused(59, () => db.adminCommand({ listShards: 1 }));
    return;
  }
  sh.enableSharding(name);
  sh.shardCollection(`${name}.wide`, { k: 1 });
  day.wide.insertMany([...Array(100).keys()].map(k => ({ k })));
  sh.splitAt(`${name}.wide`, { k: 50 });
  const [a, b] = db.adminCommand({ listShards: 1 }).shards.map(s => s._id);
  const primary = db.getSiblingDB('config').databases.findOne({ _id: name }).primary;
  sh.moveChunk(`${name}.wide`, { k: 70 }, primary === a ? b : a);
  assert.strictEqual(Object.keys(day.wide.getShardDistribution().value).length >= 2, true);
  assert.strictEqual(day.wide.countDocuments(), 100);
  sh.addShardToZone(a, 'north');
  sh.updateZoneKeyRange(`${name}.wide`, { k: MinKey }, { k: 50 }, 'north');
  sh.removeRangeFromZone(`${name}.wide`, { k: MinKey }, { k: 50 });
  sh.removeShardFromZone(a, 'north');
  sh.stopBalancer();
  sh.startBalancer();
  sh.stopBalancer();
  const status = sh.status().value;
  assert.strictEqual(status.shards.length, 2);
  assert.strictEqual(JSON.stringify(status.databases).includes(`${name}.wide`), true);
});

day.dropDatabase();
if (failures.length > 0) {
  print(`${failures.length} wrong: ${failures.join('; ')}`);
  quit(1);
}
