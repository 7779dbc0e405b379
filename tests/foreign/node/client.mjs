// A client of the engine for Node.js, over a unix socket, with nothing but a MessagePack library.
// Usage: node client.mjs SOCKET ZIP. It says each step on standard output and ends with status 1 on the first surprise.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { decodeMultiStream, encode } from "@msgpack/msgpack";

const IN_FLIGHT = 64;

// Matches answers to requests by id, in whatever order they come.
class Client {
  constructor(path) {
    this.socket = connect(path);
    this.last = 0;
    this.waiting = new Map();
    this.reading = this.read();
  }

  async read() {
    for await (const [kind, id, error, result] of decodeMultiStream(this.socket)) {
      assert.equal(kind, 1);
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      if (error === null) resolve(result);
      else reject(Object.assign(new Error(error.message), error));
    }
  }

  call(method, ...params) {
    const id = ++this.last;
    this.socket.write(encode([0, id, method, params]));
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  async close() {
    this.socket.end();
    await this.reading;
  }
}

const text = (bytes) => new TextDecoder().decode(bytes);
const [path, zip] = process.argv.slice(2);
const client = new Client(path);

assert.equal(await client.call("ping"), "pong");
console.log("ping");

const settings = { name: "from-node", code: readFileSync(zip), handler: "app.handler" };
assert.equal((await client.call("create_function", settings)).function_name, "from-node");
console.log("create_function");

const events = Array.from({ length: IN_FLIGHT }, (_, n) => JSON.stringify({ n }));
const results = await Promise.all(events.map((event) => client.call("invoke", "from-node", event)));
results.forEach((result, n) => assert.deepEqual(JSON.parse(text(result.payload)), { n }));
console.log("invoke", IN_FLIGHT);

const failed = await client.call("invoke", "from-node", '"fail"', { log_tail: true });
assert.equal(failed.function_error, "Unhandled");
assert.match(failed.log_tail, /REPORT RequestId/);
console.log("function_error");

await assert.rejects(client.call("invoke", "nobody", "1"), (error) => {
  assert.equal(error.type, "ResourceNotFoundException");
  console.log("error", error.type);
  return true;
});

await client.call("delete_function", { name: "from-node" });
console.log("delete_function");
await client.close();
