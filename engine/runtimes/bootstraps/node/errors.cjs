'use strict';
// Errors of the runtime's own, and how any error is told to Lambda and to the log.

const util = require('util');

class RuntimeError extends Error {
  constructor(name, message, cause = null) {
    super(message);
    Object.defineProperty(this, 'name', { value: `Runtime.${name}`, configurable: true, writable: true });
    const below = cause !== null && typeof cause.stack === 'string' ? cause.stack.split('\n') : [];
    const frames = cause === null ? this.stack.split('\n').filter((line) => /^ {4}at /.test(line)) : below;
    this.stack = [`${this.name}: ${message}`, ...frames.filter((line) => !message.split('\n').includes(line))].join('\n');
  }
}

/** What a rejected promise that nobody caught becomes. */
function unhandledRejection(reason, promise) {
  const error = new RuntimeError('UnhandledPromiseRejection', String(reason));
  return Object.assign(error, { reason, promise });
}

function looksLikeError(value) {
  return Boolean(
    util.types.isNativeError(value) ||
      (value && value.name && value.message && value.stack && typeof value.stack === 'string'),
  );
}

function asError(value) {
  return value instanceof Error ? value : new Error(value);
}

function printable(text) {
  return typeof text === 'string' ? text.replace(/\x7F/g, '%7F') : text;
}

/** `{errorType, errorMessage, trace}`, which is what the caller gets. */
function forCaller(value) {
  try {
    if (!looksLikeError(value)) return { errorType: typeof value, errorMessage: String(value), trace: [] };
    return {
      errorType: printable(value.name),
      errorMessage: printable(value.message),
      trace: printable(value.stack).split('\n'),
    };
  } catch (_) {
    return {
      errorType: 'handled',
      errorMessage:
        'callback called with Error argument, but there was a problem while retrieving one or more of its message, ' +
        'name, and stack',
      trace: [],
    };
  }
}

/** One line of JSON with all that the error carries, after a tab. */
function forLog(error) {
  try {
    return `\t${JSON.stringify(error, (_key, value) => (value instanceof Error ? spreadOut(value) : value))}`;
  } catch (_) {
    return `\t${JSON.stringify(forCaller(error))}`;
  }
}

function spreadOut(error) {
  const all = { errorType: error.name, errorMessage: error.message, code: error.code, ...error };
  if (typeof error.stack === 'string') all.stack = error.stack.split('\n');
  return all;
}

module.exports = { RuntimeError, asError, forCaller, forLog, unhandledRejection };
