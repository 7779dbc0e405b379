const fs = require('fs');
const http = require('http');
const does = {
  echo: ({ value }) => value,
  gives: ({ bytes }) => 'x'.repeat(bytes),
  has: ({ name }) => fs.readFileSync('/proc/self/maps', 'utf8').includes(name),
  prints: ({ text }) => console.log(text),
  fails: ({ text }) => { throw new TypeError(text) },
  hoards: ({ left }) => {
    const held = [];
    for (let full = false; !full;) {
      try {
        held.push(fs.openSync('/dev/null'));
      } catch (error) {
        if (error.code !== 'EMFILE') throw error;
        full = true;
      }
    }
    for (; left > 0; left--) fs.closeSync(held.pop());
    return held;
  },
  releases: ({ held }) => held.forEach((fd) => fs.closeSync(fd)),
  exits: () => process.exit(3),
  crashes: () => process.kill(process.pid, 'SIGKILL'),
  spins: () => { for (;;) { } },
  context: (_, context) => [context.awsRequestId, context.invokedFunctionArn, context.getRemainingTimeInMillis(),
    process.env._X_AMZN_TRACE_ID, context.clientContext, context.tenantId],
  registers: () => new Promise((resolve, reject) => {
    const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
    const headers = { 'Lambda-Extension-Name': 'late' };
    const given = { host, port, path: '/2020-01-01/extension/register', method: 'POST', headers };
    const heard = (reply) => { reply.resume(); resolve(reply.statusCode) };
    http.request(given, heard).on('error', reject).end('{"events": []}');
  }),
};
exports.streams = awslambda.streamifyResponse(async (event, stream) => {
  if (event.does === 'has') {
    stream.end(JSON.stringify(await does.has(event)));
    return;
  }
  stream.setContentType('application/x-pieces');
  stream.write('first ');
  for (let piece = 0; piece < event.pieces; piece++) stream.write(Buffer.alloc(event.bytes, 0xff));
  if (event.fails) throw new RangeError('late');
  stream.end();
});
exports.handler = async (event, context) => does[event.does](event, context);
