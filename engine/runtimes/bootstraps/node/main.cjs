'use strict';
// Node.js functions: takes an assignment, loads the handler, and serves its runtime until the process ends.

const { Channel } = require('./channel.cjs');
const awslambda = require('./awslambda.cjs');
const { forCaller, unhandledRejection } = require('./errors.cjs');
const handler = require('./handler.cjs');
const { Runtime } = require('./invocation.cjs');
const log = require('./console.cjs');

const CHANNEL_FD = 3;
const UNCAUGHT_EXCEPTION = 129; // exit statuses of AWS's client
const UNHANDLED_REJECTION = 128;
const WITHOUT_CALLBACKS = 24; // the first runtime of that kind

const channel = new Channel(CHANNEL_FD);
let runtime = null;

/** What most functions need of Node, loaded by a process that has time: its function is not known yet. */
async function preload() {
  for (const name of ['crypto', 'stream', 'zlib', 'http', 'https', './stream.cjs']) require(name);
  require('./place.cjs').preload();
  await import('data:text/javascript,'); // the loader of ES modules
}

function assume(variables) {
  if ('AWS_LAMBDA_EXEC_WRAPPER' in variables) return; // what the wrapper has made of them holds
  for (const name of Object.keys(process.env)) if (!(name in variables)) delete process.env[name];
  for (const [name, value] of Object.entries(variables)) if (process.env[name] !== value) process.env[name] = value;
  require('module')._initPaths(); // NODE_PATH is read again
}

function runtimeNumber(variables) {
  const found = /nodejs(\d+)/.exec(variables.AWS_EXECUTION_ENV || '');
  return found === null ? 0 : Number(found[1]);
}

function die(what, error, status) {
  log.logError(what, error);
  if (runtime === null || runtime.id === undefined) channel.failInit(forCaller(error), status);
  runtime.abandon(error);
  process.exit(status);
}

async function main() {
  if (process.env.AWS_LAMBDA_FUNCTION_NAME === undefined) await preload();
  const { variables, handler: name, task_root: taskRoot } = channel.assignment();
  assume(variables);
  process.chdir(taskRoot);
  const isModern = runtimeNumber(variables) >= WITHOUT_CALLBACKS;
  log.install(variables, isModern);
  awslambda.install(variables);
  process.on('uncaughtException', (error) => die('Uncaught Exception', error, UNCAUGHT_EXCEPTION));
  process.on('unhandledRejection', (reason, promise) =>
    die('Unhandled Promise Rejection', unhandledRejection(reason, promise), UNHANDLED_REJECTION),
  );
  let loaded;
  try {
    loaded = await handler.load(taskRoot, name, isModern);
  } catch (error) {
    die(isModern ? 'Init Error' : 'Uncaught Exception', error, UNCAUGHT_EXCEPTION);
  }
  runtime = new Runtime(channel, loaded, variables, isModern);
  setImmediate(runtime.turn);
}

main();
