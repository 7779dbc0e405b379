'use strict';
// A function that does what the event asks for, for tests.

let calls = 0;

class OutOfStock extends Error {}
OutOfStock.prototype.name = 'OutOfStock';

function innermost() {
  throw new OutOfStock('tea is out of stock');
}

const doings = {
  fail: () => innermost(),
  context: (event, context) => ({
    ...context,
    remaining: context.getRemainingTimeInMillis(),
    environment: process.env,
    folder: process.cwd(),
    trace: process.env._X_AMZN_TRACE_ID,
    memory: process.execArgv,
  }),
  say: () => {
    console.log('to the log', { a: 1 });
    console.error('an error of\ntwo lines');
    console.debug('in detail');
    process.stdout.write('to standard output\n');
    process.stderr.write('to standard error\n');
  },
  sleep: () => new Promise((resolve) => setTimeout(resolve, 60_000)),
  'hog heap': () => {
    const hoard = [];
    for (;;) hoard.push(new Array(10_000).fill(Math.random()));
  },
  'hog buffers': () => {
    const hoard = [];
    for (;;) hoard.push(Buffer.alloc(1 << 20, 1));
  },
  exit: (event) => process.exit(event.n),
  'throw later': () =>
    new Promise(() => {
      setTimeout(() => {
        throw new OutOfStock('later');
      }, 1);
    }),
  'reject later': () => {
    Promise.reject(new OutOfStock('unheard'));
    return new Promise((resolve) => setTimeout(resolve, 60_000));
  },
  long: (event) => 'x'.repeat(event.n),
  number: () => 1n,
  circle: () => {
    const ring = {};
    ring.ring = ring;
    return ring;
  },
  nothing: () => undefined,
};

exports.handler = async (event, context) => {
  calls += 1;
  return event && event.do ? doings[event.do](event, context) : calls;
};

exports.echo = async (event) => event;

exports.deep = { er: { handler: async () => 'found' } };
