'use strict';
// This process's own place in the region that it shares with the engine: events and answers without anybody between.
//
// A `Place` stands in for the channel (channel.cjs) once that has served an invocation. It is a library compiled with the
// engine. Where it cannot be loaded (a Node with another C library, or one told to load none), the channel serves on.

const fs = require('fs');
const path = require('path');
const { headerValue } = require('./channel.cjs');

const LIBRARY = /^place\.[^/]*so$/;
const ANSWER_MAX_BYTES = 6291556;
const NOT_LOADED = ['ERR_DLOPEN_FAILED', 'ERR_DLOPEN_DISABLED', 'ERR_ACCESS_DENIED'];

let library; // null, where there is none

/** Loads the library ahead of its first use. */
function preload() {
  if (library !== undefined) return;
  library = null;
  const name = fs.readdirSync(__dirname).find((each) => LIBRARY.test(each));
  if (name === undefined) return;
  const loaded = { exports: {} };
  try {
    process.dlopen(loaded, path.join(__dirname, name));
    library = loaded.exports;
  } catch (error) {
    if (!NOT_LOADED.includes(error.code)) throw error;
  }
}

/** Asks over the channel `fd`, on which nothing is under way: a `Place`, or null where the channel is to serve on. */
function open(fd, arn) {
  preload();
  return library !== null && library.open(fd) ? new Place(arn) : null;
}

/** What a `Channel` is to a `Runtime`. */
class Place {
  constructor(arn) {
    this.arn = arn;
    this.posted = null; // what is sent as the process comes to wait for the next event
    this.gathered = null; // of an answer in pieces, for a caller who wants it whole
    this.gatheredBytes = 0;
  }

  respond(_id, json) {
    this.posted = [json, undefined];
  }

  respondError(_id, error) {
    this.postError(error);
  }

  postError(error) {
    this.posted = [JSON.stringify(error), headerValue(error.errorType)];
  }

  beginStream(_id, contentType) {
    this.gathered = library.streams() ? null : [];
    this.gatheredBytes = 0;
    if (this.gathered === null) library.begin(headerValue(contentType));
  }

  /** What comes after too much is dropped, and the library sees to what that is answered with. */
  sendChunk(buffers) {
    for (const each of buffers) {
      if (this.gathered !== null) this.gather(each);
      else library.send(each);
    }
  }

  gather(piece) {
    if (this.gatheredBytes > ANSWER_MAX_BYTES) return;
    this.gathered.push(piece);
    this.gatheredBytes += piece.length;
  }

  endStream(error = null) {
    if (error !== null) this.postError(error);
    else this.posted = [this.gathered === null ? '' : Buffer.concat(this.gathered), undefined];
    this.gathered = null;
  }

  flush() {
    if (this.posted === null) return;
    const [json, errorType] = this.posted;
    this.posted = null;
    library.put(json, errorType);
  }

  next() {
    this.flush();
    const body = library.take();
    const headers = {
      'lambda-runtime-aws-request-id': library.id(),
      'lambda-runtime-deadline-ms': library.deadline(),
      'lambda-runtime-invoked-function-arn': this.arn,
      'lambda-runtime-trace-id': undefined,
    };
    const beside = library.beside();
    if (beside !== undefined) addTo(headers, JSON.parse(beside));
    const trace = 'lambda-runtime-trace-id';
    if (!headers[trace]) headers[trace] = library.trace();
    return { headers, body };
  }
}

function addTo(headers, beside) {
  headers['lambda-runtime-trace-id'] = beside.trace_id;
  headers['lambda-runtime-client-context'] = beside.client_context || undefined;
  headers['lambda-runtime-cognito-identity'] = beside.identity || undefined;
  headers['lambda-runtime-aws-tenant-id'] = beside.tenant_id || undefined;
}

module.exports = { open, preload };
