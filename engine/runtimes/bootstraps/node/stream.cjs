'use strict';
// The stream that the handler of a streamed response writes to.

const { Writable } = require('stream');
const { RuntimeError } = require('./errors.cjs');

/** Every piece is on its way when `write` returns, so there is never anything to drain. */
class ResponseStream extends Writable {
  constructor(channel, id, highWaterMark) {
    super(highWaterMark === undefined ? {} : { highWaterMark });
    this._channel = channel;
    this._id = id;
    this._contentType = 'application/octet-stream';
    this._onBeforeFirstWrite = undefined; // frameworks set it
    this._isTouched = false;
    this._isBegun = false;
    this._isEnded = false;
  }

  setContentType(type) {
    if (this._isTouched) throw new RuntimeError('InvalidStreamingOperation', 'Cannot set content-type, too late.');
    this._contentType = type;
  }

  write(chunk, encoding, callback) {
    this._touch();
    const isRaw = typeof chunk === 'string' || chunk instanceof Uint8Array;
    return super.write(isRaw ? chunk : JSON.stringify(chunk), encoding, callback);
  }

  end(chunk, encoding, callback) {
    if (typeof chunk === 'function') return this.end(null, null, chunk);
    if (chunk !== undefined && chunk !== null) this.write(chunk, typeof encoding === 'string' ? encoding : undefined);
    this._touch();
    return super.end(typeof encoding === 'function' ? encoding : callback);
  }

  /** Settles when all is written and ended; rejects where it was destroyed before. */
  untilFinished() {
    const done = new Promise((resolve, reject) => {
      this.once('finish', resolve);
      this.once('error', reject);
      this.once('close', () => reject(new Error('Response stream is not finished.')));
    });
    done.catch(() => {}); // the handler may fail for the same reason first
    return done;
  }

  /** Breaks off with an error, or sends it alone where nothing was written yet. Nothing, for one that is complete. */
  fail(error) {
    if (this._isEnded) return;
    this._isEnded = true;
    if (this._isBegun) this._channel.endStream(error);
    else this._channel.respondError(this._id, error);
  }

  _touch() {
    if (this._isTouched) return;
    this._isTouched = true;
    if (typeof this._onBeforeFirstWrite === 'function') this._onBeforeFirstWrite((chunk) => super.write(chunk));
  }

  _send(buffers) {
    if (this._isEnded) return;
    if (!this._isBegun) this._channel.beginStream(this._id, this._contentType);
    this._isBegun = true;
    this._channel.sendChunk(buffers);
  }

  _write(chunk, _encoding, callback) {
    this._send([chunk]);
    callback();
  }

  _writev(chunks, callback) {
    this._send(chunks.map((each) => each.chunk));
    callback();
  }

  _final(callback) {
    this._send([]);
    if (!this._isEnded) this._channel.endStream();
    this._isEnded = true;
    callback(); // the end itself is sent when the handler is done: what it does until then belongs to the invocation
  }
}

module.exports = { ResponseStream };
