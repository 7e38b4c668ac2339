// A day's work with the Node driver. Run by run.sh: node day_node.mjs URI, the
// URI being an administrator's, with CLIENT_SHARDED set.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.CLIENT_MODULES}/`); // where run.sh has installed the driver
const { MongoClient, GridFSBucket } = require('mongodb');

const uri = process.argv[2];
const sharded = process.env.CLIENT_SHARDED === '1';
const name = 'day_node';
const failures = [];
const client = new MongoClient(uri, { compressors: ['zlib'], serverSelectionTimeoutMS: 10000 });
const db = client.db(name);
await db.command({ dropAllUsersFromDatabase: 1 });
await db.dropDatabase();

async function step(title, work) {
  try {
    await work();
    console.log(`ok    ${title}`);
  } catch (err) {
    failures.push(title);
    console.log(`WRONG ${title}: ${err.codeName ?? ''} ${err.message}`);
  }
}

const refused = (code, work) => assert.rejects(work, err => {
  assert.equal(err.code, code, err.message);
  return true;
});

// rightOrRefused is for what a simulator may do without.
async function rightOrRefused(code, work, want) {
  try {
    assert.deepEqual(await work(), want);
  } catch (err) {
    assert.equal(err.code, code, err.message);
  }
}

await step('insert, find, update, delete', async () => {
  const c = db.collection('people');
  assert.equal((await c.insertMany([{ _id: 1, n: 'a' }, { _id: 2, n: 'b' }, { _id: 3, n: 'c' }])).insertedCount, 3);
  assert.deepEqual(await c.findOne({ n: 'b' }, { projection: { _id: 1 } }), { _id: 2 });
  assert.equal((await c.updateMany({ _id: { $gt: 1 } }, { $set: { x: [1, 2] } })).modifiedCount, 2);
  assert.equal((await c.updateOne({ _id: 2 }, { $push: { x: { $each: [3, 4], $slice: -2 } } })).modifiedCount, 1);
  assert.deepEqual((await c.findOne({ _id: 2 })).x, [3, 4]);
  assert.equal((await c.updateOne({ _id: 9 }, { $setOnInsert: { n: 'z' } }, { upsert: true })).upsertedId, 9);
  assert.equal((await c.findOneAndDelete({ _id: 9 })).n, 'z');
  assert.equal((await c.deleteMany({ _id: { $in: [3] } })).deletedCount, 1);
  assert.equal(await c.countDocuments(), 2);
  await refused(11000, () => c.insertOne({ _id: 1 }));
});

await step('bulkWrite of a collection and of the client', async () => {
  const r = await db.collection('bulk').bulkWrite([
    { insertOne: { document: { _id: 1 } } }, { updateOne: { filter: { _id: 2 }, update: { $set: { a: 1 } }, upsert: true } },
    { deleteOne: { filter: { _id: 1 } } }], { ordered: false });
  assert.deepEqual([r.insertedCount, r.upsertedCount, r.deletedCount], [1, 1, 1]);
  const all = await client.bulkWrite([
    { namespace: `${name}.one`, name: 'insertOne', document: { _id: 1 } },
    { namespace: `${name}.two`, name: 'insertOne', document: { _id: 1 } },
    { namespace: `${name}.one`, name: 'updateOne', filter: { _id: 1 }, update: { $set: { a: 1 } } }], { verboseResults: true });
  assert.deepEqual([all.insertedCount, all.modifiedCount], [2, 1]);
});

await step('aggregation', async () => {
  const c = db.collection('sales');
  await c.insertMany([...Array(20).keys()].map(i => ({ _id: i, g: i % 3, n: i })));
  assert.deepEqual(await c.aggregate([{ $group: { _id: '$g', n: { $sum: '$n' } } }, { $sort: { _id: 1 } }]).toArray(),
    [{ _id: 0, n: 63 }, { _id: 1, n: 70 }, { _id: 2, n: 57 }]);
  assert.deepEqual(await c.aggregate([{ $facet: { few: [{ $match: { n: { $lt: 2 } } }, { $count: 'n' }], top: [{ $sort: { n: -1 } }, { $limit: 1 }] } }]).toArray(),
    [{ few: [{ n: 2 }], top: [{ _id: 19, g: 1, n: 19 }] }]);
  await c.aggregate([{ $merge: { into: 'merged', whenMatched: 'replace' } }]).toArray();
  assert.equal(await db.collection('merged').countDocuments(), 20);
});

await step('indexes and explain', async () => {
  const c = db.collection('people');
  assert.equal(await c.createIndex({ n: 1, _id: -1 }, { name: 'by_n' }), 'by_n');
  assert.equal(await c.createIndex({ t: 1 }, { expireAfterSeconds: 3600 }), 't_1');
  assert.deepEqual((await c.listIndexes().toArray()).map(i => i.name).sort(), ['_id_', 'by_n', 't_1']);
  assert.match(JSON.stringify(await c.find({ n: 'a' }).explain()), /IXSCAN/);
  await db.command({ collMod: 'people', index: { name: 't_1', expireAfterSeconds: 60 } });
  await c.dropIndex('t_1');
  await refused(27, () => c.dropIndex('t_1'));
});

await step('cursors', async () => {
  const c = db.collection('many');
  await c.insertMany([...Array(1000).keys()].map(i => ({ _id: i, pad: 'x'.repeat(1000) })));
  let n = 0;
  for await (const doc of c.find({}, { sort: { _id: 1 }, batchSize: 33 })) assert.equal(doc._id, n++);
  assert.equal(n, 1000);
  const half = c.find({}, { batchSize: 2 });
  await half.next();
  await half.close();
});

await step('transactions', async () => {
  const c = db.collection('people');
  await client.withSession(async session => {
    await session.withTransaction(async () => {
      await c.insertOne({ _id: 't1' }, { session });
      await db.collection('others').insertOne({ _id: 't1' }, { session });
    });
    session.startTransaction();
    await c.deleteOne({ _id: 't1' }, { session });
    await session.abortTransaction();
  });
  assert.ok(await c.findOne({ _id: 't1' }));
});

await step('change stream with resume', async () => {
  const c = db.collection('events');
  const stream = c.watch([{ $match: { operationType: 'insert' } }], { maxAwaitTimeMS: 200 });
  await stream.tryNext(); // opens it
  await c.insertMany([{ _id: 1 }, { _id: 2 }, { _id: 3 }]);
  const first = await stream.next();
  assert.equal(first.documentKey._id, 1);
  await stream.close();
  const resumed = c.watch([], { resumeAfter: first._id, maxAwaitTimeMS: 200 });
  assert.equal((await resumed.next()).documentKey._id, 2);
  assert.equal((await resumed.next()).documentKey._id, 3);
  await resumed.close();
});

await step('GridFS', async () => {
  const bucket = new GridFSBucket(db, { chunkSizeBytes: 1000 });
  const data = Buffer.alloc(12345, 'ab');
  await new Promise((done, fail) => bucket.openUploadStream('file', { metadata: { a: 1 } }).on('finish', done).on('error', fail).end(data));
  const parts = [];
  for await (const part of bucket.openDownloadStreamByName('file')) parts.push(part);
  assert.ok(Buffer.concat(parts).equals(data));
  assert.equal(await db.collection('fs.chunks').countDocuments(), 13);
  const [file] = await bucket.find({ filename: 'file' }).toArray();
  await bucket.delete(file._id);
  assert.equal(await db.collection('fs.chunks').countDocuments(), 0);
});

await step('views, validators, collation', async () => {
  await db.createCollection('v', { viewOn: 'people', pipeline: [{ $match: { n: 'a' } }] });
  assert.deepEqual(await db.collection('v').find({}, { projection: { n: 1 } }).toArray(), [{ _id: 1, n: 'a' }]);
  await db.createCollection('strict', { validator: { n: { $type: 'string' } } });
  await refused(121, () => db.collection('strict').insertOne({ n: 1 }));
  await db.collection('strict').insertOne({ n: 1 }, { bypassDocumentValidation: true });
  const words = db.collection('words');
  await words.insertMany([{ _id: 1, w: 'a' }, { _id: 2, w: 'A' }]);
  await rightOrRefused(115, () => words.countDocuments({ w: 'a' }, { collation: { locale: 'en', strength: 2 } }), 2);
});

await step('users, roles and refusals', async () => {
  await db.command({ createUser: 'ann', pwd: 'pw', roles: ['readWrite'], mechanisms: ['SCRAM-SHA-256'] });
  const login = (pwd, more) => new MongoClient(uri.replace(/\/\/[^@]*@/, '//'), { auth: { username: 'ann', password: pwd }, authSource: name, ...more });
  await refused(18, () => login('no').connect());
  await refused(18, () => login('pw', { authMechanism: 'SCRAM-SHA-1' }).connect());
  const ann = login('pw');
  await ann.db(name).collection('mine').insertOne({ _id: 1 });
  await refused(13, () => ann.db('elsewhere').collection('c').insertOne({ _id: 1 }));
  await refused(13, () => ann.db(name).command({ createUser: 'eve', pwd: 'x', roles: [] }));
  assert.deepEqual((await ann.db().admin().listDatabases({ nameOnly: true })).databases, [{ name }]);
  await ann.close();
  assert.equal((await db.command({ usersInfo: 'ann' })).users[0].user, 'ann');
  await db.removeUser('ann');
});

await step('what the server says of itself', async () => {
  assert.equal((await db.stats()).db, name);
  assert.equal((await db.admin().serverStatus()).process, sharded ? 'mongos' : 'mongod');
  assert.ok((await db.listCollections({}, { nameOnly: true }).toArray()).length > 5);
  if (!sharded) assert.equal((await db.admin().replSetGetStatus()).myState, 1);
});

await step('sharding', async () => {
  const admin = client.db('admin');
  if (!sharded) {
    await refused(59, () => admin.command({ listShards: 1 }));
    return;
  }
  await admin.command({ shardCollection: `${name}.wide`, key: { k: 'hashed' } });
  const wide = db.collection('wide');
  await wide.insertMany([...Array(200).keys()].map(k => ({ k })));
  assert.equal(await wide.countDocuments(), 200);
  assert.deepEqual((await wide.find().sort({ k: 1 }).limit(3).toArray()).map(d => d.k), [0, 1, 2]);
  const { shards } = await db.command({ collStats: 'wide' });
  assert.equal(Object.keys(shards).length, 2);
  await refused(66, () => wide.updateOne({ k: 1 }, { $set: { _id: 7 } }));
});

await db.dropDatabase();
await client.close();
if (failures.length > 0) {
  console.log(`${failures.length} wrong: ${failures.join('; ')}`);
  process.exit(1);
}
