'use strict';
// The connection to the Runtime API: HTTP/1.1 over one stream socket that is open already, read and written blocking.
//
// A response and the request for the next event leave in one write, and are answered in one read. While the process
// waits for an event its event loop stands still, as it does in Lambda, where the whole environment is frozen then.

const fs = require('fs');

const START_BYTES = 64 * 1024;
const KEPT_BYTES = 1024 * 1024; // a buffer grown beyond this is given back: the function's memory may be 128 MB
const HEAD_MAX_BYTES = 1024 * 1024;
const BLANK = Buffer.from('\r\n\r\n');
const CRLF = Buffer.from('\r\n');
const LAST_CHUNK = '0\r\n';

const API = '/2018-06-01/runtime';
const NEXT = `GET ${API}/invocation/next HTTP/1.1\r\nHost: runtime\r\n\r\n`;
const ASSIGNMENT = 'GET /engine/assignment HTTP/1.1\r\nHost: runtime\r\n\r\n';
const ERROR_TYPE = 'Lambda-Runtime-Function-Error-Type';
const ERROR_BODY = 'Lambda-Runtime-Function-Error-Body';

const patience = new Int32Array(new SharedArrayBuffer(4));

/** Sleeps for a moment: the socket was made non-blocking by somebody who shares it, and is full or empty. */
function waitABit() {
  Atomics.wait(patience, 0, 0, 1);
}

/** Whether a system call that failed is to be made again. */
function isTransient(error) {
  if (error.code === 'EAGAIN') waitABit();
  return error.code === 'EAGAIN' || error.code === 'EINTR';
}

/** Writes all of `buffer`, however small the pieces are that the descriptor takes. */
function writeAll(fd, buffer, length = buffer.length) {
  let written = 0;
  while (written < length) {
    try {
      written += fs.writeSync(fd, buffer, written, length - written);
    } catch (error) {
      if (!isTransient(error)) throw error;
    }
  }
}

/** The same for several buffers, which go out in one system call where they can. */
function writeEach(fd, buffers) {
  let written = 0;
  try {
    written = fs.writevSync(fd, buffers);
  } catch (error) {
    if (!isTransient(error)) throw error;
  }
  for (const buffer of buffers) {
    if (written < buffer.length) writeAll(fd, buffer.subarray(written));
    written = Math.max(0, written - buffer.length);
  }
}

/** A value that may stand in a header: neither control characters nor anything beyond ASCII. */
function headerValue(text) {
  return String(text).replace(/[^\x20-\x7e]/g, '?').slice(0, 1024);
}

class Channel {
  constructor(fd) {
    this.fd = fd;
    this.input = Buffer.allocUnsafeSlow(START_BYTES);
    this.start = 0; // what was received and not yet used lies between start and end
    this.end = 0;
    this.output = Buffer.allocUnsafeSlow(START_BYTES);
    this.owed = 0; // requests whose answers were not read yet
    this.posted = null; // head, body and its length of what waits to leave with the next request
  }

  /** What this process is to be: `{variables, handler, task_root}`. May take long: processes are started ahead. */
  assignment() {
    this.write(ASSIGNMENT, '', '');
    return JSON.parse(this.answer().body);
  }

  /** Prepares the answer of an invocation, to leave with the request for the next one. */
  respond(id, json) {
    this.post(`/invocation/${id}/response`, 'Content-Type: application/json\r\n', json);
  }

  /** The same for an invocation that failed. */
  respondError(id, error) {
    this.postError(`/invocation/${id}/error`, error);
  }

  /** Sends what was prepared, and `tail` with it. */
  flush(tail = '') {
    const [head, body, length] = this.posted === null ? ['', '', 0] : this.posted;
    this.posted = null;
    this.write(head, body, tail, length);
  }

  /** The same, and reads the answers that are due. */
  settle(tail = '') {
    this.flush(tail);
    for (; this.owed > 0; this.owed--) this.answer();
  }

  /** Tells that this process cannot serve its function, and ends it. */
  failInit(error, status) {
    this.postError('/init/error', error);
    this.flush();
    process.exit(status);
  }

  /** Sends what was prepared and asks for the next event: `{headers, body}`. Ends the process if there is none ever. */
  next() {
    this.settle(NEXT);
    const event = this.answer();
    if (event.status !== 200) process.exit(1); // the Runtime API has said why
    return event;
  }

  /** Begins an answer that is sent piece by piece. */
  beginStream(id, contentType) {
    const type = headerValue(contentType);
    const head =
      `POST ${API}/invocation/${id}/response HTTP/1.1\r\nHost: runtime\r\nContent-Type: ${type}\r\n` +
      `Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n` +
      `Trailer: ${ERROR_TYPE}, ${ERROR_BODY}\r\n\r\n`;
    this.owed++;
    this.write(head, '', '');
  }

  /** Sends pieces of it, as one. */
  sendChunk(buffers) {
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    if (length === 0) return; // which would be the end
    writeEach(this.fd, [Buffer.from(`${length.toString(16)}\r\n`, 'latin1'), ...buffers, CRLF]);
  }

  /** Prepares its end, to leave with the request for the next event; an error goes with it, in trailers. */
  endStream(error = null) {
    let trailers = '';
    if (error !== null) {
      const body = Buffer.from(JSON.stringify(error)).toString('base64');
      trailers = `${ERROR_TYPE}: ${headerValue(error.errorType)}\r\n${ERROR_BODY}: ${body}\r\n`;
    }
    this.posted = [`${LAST_CHUNK}${trailers}\r\n`, '', 0];
  }

  postError(path, error) {
    const headers = `Content-Type: application/json\r\n${ERROR_TYPE}: ${headerValue(error.errorType)}\r\n`;
    this.post(path, headers, JSON.stringify(error));
  }

  post(path, headers, json) {
    const length = Buffer.byteLength(json);
    const head = `POST ${API}${path} HTTP/1.1\r\nHost: runtime\r\n${headers}Content-Length: ${length}\r\n\r\n`;
    this.posted = [head, json, length];
    this.owed++;
  }

  /** One write for `head` (ASCII), `body` (of `bodyBytes` in UTF-8) and `tail` (ASCII). */
  write(head, body, tail, bodyBytes = 0) {
    const total = head.length + bodyBytes + tail.length;
    if (total > this.output.length) {
      writeEach(this.fd, [Buffer.from(head, 'latin1'), Buffer.from(body), Buffer.from(tail, 'latin1')]);
      return;
    }
    let end = this.output.write(head, 0, 'latin1');
    if (bodyBytes > 0) end += this.output.write(body, end, 'utf8');
    if (tail !== '') end += this.output.write(tail, end, 'latin1');
    writeAll(this.fd, this.output, end);
  }

  /** Reads one answer: `{status, headers, body}`, names of headers in lower case. They always tell their length. */
  answer() {
    let headEnd;
    while ((headEnd = this.input.subarray(this.start, this.end).indexOf(BLANK)) < 0) {
      if (this.end - this.start > HEAD_MAX_BYTES) process.exit(1);
      this.receive(this.end - this.start + 1);
    }
    const lines = this.input.toString('utf8', this.start, this.start + headEnd).split('\r\n');
    const headers = Object.create(null);
    for (let i = 1; i < lines.length; i++) {
      const colon = lines[i].indexOf(':');
      headers[lines[i].slice(0, colon).toLowerCase()] = lines[i].slice(colon + 1).trim();
    }
    const length = Number(headers['content-length'] || 0);
    const whole = headEnd + BLANK.length + length;
    while (this.end - this.start < whole) this.receive(whole);
    const end = this.start + whole;
    const body = this.input.toString('utf8', end - length, end);
    this.consume(end);
    return { status: Number(lines[0].slice(9, 12)), headers, body };
  }

  consume(end) {
    this.start = end;
    if (this.start < this.end) return;
    this.start = this.end = 0;
    if (this.input.length > KEPT_BYTES) this.input = Buffer.allocUnsafeSlow(START_BYTES);
  }

  /** Receives once, into a buffer that has room for `wanted` bytes from `start`. */
  receive(wanted) {
    if (this.start + wanted > this.input.length || this.end === this.input.length) this.makeRoom(wanted);
    let count = -1;
    while (count < 0) {
      try {
        count = fs.readSync(this.fd, this.input, this.end, this.input.length - this.end, null);
      } catch (error) {
        if (!isTransient(error)) throw error;
      }
    }
    if (count === 0) process.exit(1); // nobody is there any more whom an answer could reach
    this.end += count;
  }

  makeRoom(wanted) {
    const old = this.input;
    const kept = this.end - this.start;
    if (wanted > old.length || kept === old.length) {
      this.input = Buffer.allocUnsafeSlow(Math.max(wanted + START_BYTES, Math.min(old.length * 2, KEPT_BYTES)));
    }
    old.copy(this.input, 0, this.start, this.end);
    this.start = 0;
    this.end = kept;
  }
}

module.exports = { Channel, headerValue, isTransient, writeAll };
