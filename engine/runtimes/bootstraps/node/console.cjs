'use strict';
// console.* as a function finds it in Lambda: one record a call, in the text or in the JSON format, with the request.
//
// A record is one line: newlines inside it become carriage returns, as AWS's client writes to a pipe.

const util = require('util');
const { isTransient } = require('./channel.cjs');
const { asError, forLog } = require('./errors.cjs');
const fs = require('fs');

const STDOUT = 1;
const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
const METHODS = { trace: 'TRACE', debug: 'DEBUG', log: 'INFO', info: 'INFO', warn: 'WARN', error: 'ERROR' };
const REQUEST_ID = Symbol.for('aws.lambda.runtime.requestId'); // where other tools look for it
const TENANT_ID = Symbol.for('aws.lambda.runtime.tenantId');

let isJson = false;
let noRequest; // what stands for the request before there is one

function writeLine(text) {
  let rest = Buffer.from(`${text.replace(/\n/g, '\r')}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(fs.writeSync(STDOUT, rest));
    } catch (error) {
      if (error.code === 'EPIPE') return; // nobody reads the log any more
      if (!isTransient(error)) throw error;
    }
  }
}

function textRecord(level, values) {
  const id = global[REQUEST_ID] === undefined ? noRequest : global[REQUEST_ID];
  return `${new Date().toISOString()}\t${id}\t${level}\t${util.format(...values)}`;
}

function jsonRecord(level, values) {
  const record = { timestamp: new Date().toISOString(), level, requestId: global[REQUEST_ID] };
  if (global[TENANT_ID] !== undefined) record.tenantId = global[TENANT_ID];
  if (values.length !== 1) {
    record.message = util.format(...values);
    const error = values.find((value) => value instanceof Error);
    return JSON.stringify(error === undefined ? record : { ...record, ...described(error) });
  }
  record.message = values[0];
  try {
    return JSON.stringify(record, (_key, value) => (value instanceof Error ? { ...described(value), ...value } : value));
  } catch (_) {
    return JSON.stringify({ ...record, message: util.format(values[0]) });
  }
}

function described(error) {
  return {
    errorType: (error.constructor && error.constructor.name) || 'UnknownError',
    errorMessage: error.message,
    stackTrace: typeof error.stack === 'string' ? error.stack.split('\n') : [],
  };
}

/** Replaces the methods of `console` by those of this environment's variables. */
function install(variables, isModern) {
  isJson = (variables.AWS_LAMBDA_LOG_FORMAT || '').toUpperCase() === 'JSON';
  noRequest = isModern ? '' : 'undefined';
  const least = Math.max(0, LEVELS.indexOf((variables.AWS_LAMBDA_LOG_LEVEL || '').toUpperCase()));
  const record = isJson ? jsonRecord : textRecord;
  const at = (level) => (...values) => writeLine(record(level, values.length === 0 ? [undefined] : values));
  for (const [method, level] of Object.entries(METHODS)) {
    console[method] = LEVELS.indexOf(level) >= least ? at(level) : () => {};
  }
  console.fatal = at('FATAL');
  makeBlocking('stdout');
  makeBlocking('stderr');
}

/** Has `process.stdout` or `stderr` wait where its pipe is full: what it kept for later would be frozen, or lost. */
function makeBlocking(name) {
  const { get } = Object.getOwnPropertyDescriptor(process, name);
  const reach = () => {
    const stream = get.call(process);
    if (stream._handle && stream._handle.setBlocking) stream._handle.setBlocking(true);
    Object.defineProperty(process, name, { configurable: true, enumerable: true, get });
    return stream;
  };
  Object.defineProperty(process, name, { configurable: true, enumerable: true, get: reach }); // made when first used
}

/** Whose records are written from now on. */
function begin(requestId, tenantId) {
  global[REQUEST_ID] = requestId;
  global[TENANT_ID] = tenantId;
}

/** An error that ends an invocation or the process. */
function logError(what, value) {
  const error = asError(value);
  if (isJson) console.error(error);
  else console.error(what, forLog(error));
}

module.exports = { begin, install, logError };
