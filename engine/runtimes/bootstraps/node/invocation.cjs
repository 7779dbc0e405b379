'use strict';
// One invocation after the other: events in, a handler's result out, by promise, callback, context or empty event loop.

const log = require('./console.cjs');
const { forCaller } = require('./errors.cjs');
const place = require('./place.cjs');

const HEADERS = 'lambda-runtime-';

/** Named as AWS's, and so is `handler`: both stand in the stack of whatever a handler throws. */
class Runtime {
  /** `loaded` is what `handler.cjs` gave; `isModern` its rules: no callbacks, nothing waits for the event loop. */
  constructor(channel, loaded, variables, isModern) {
    this.channel = channel;
    this.mayMove = true; // from the channel to a place of its own
    this.handler = loaded.call;
    this.isStreaming = loaded.isStreaming;
    this.highWaterMark = loaded.highWaterMark;
    this.isModern = isModern;
    this.surroundings = {
      functionVersion: variables.AWS_LAMBDA_FUNCTION_VERSION,
      functionName: variables.AWS_LAMBDA_FUNCTION_NAME,
      memoryLimitInMB: variables.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
      logGroupName: variables.AWS_LAMBDA_LOG_GROUP_NAME,
      logStreamName: variables.AWS_LAMBDA_LOG_STREAM_NAME,
    };
    this.id = undefined;
    this.stream = null;
    this.isAnswered = true;
    this.whenIdle = null; // what happens when the event loop is empty; the current invocation's
    this.turn = this.turn.bind(this);
    process.on('beforeExit', () => {
      const action = this.whenIdle;
      this.whenIdle = null;
      if (action !== null) action();
    });
  }

  /** Sends the last answer, waits for an event and hands it to the handler. */
  turn() {
    if (this.mayMove && this.id !== undefined) this.move();
    const { headers, body } = this.channel.next();
    this.arn = headers[`${HEADERS}invoked-function-arn`];
    this.id = headers[`${HEADERS}aws-request-id`];
    this.isAnswered = false;
    this.stream = null;
    log.begin(this.id, headers[`${HEADERS}aws-tenant-id`]);
    setTrace(headers[`${HEADERS}trace-id`]);
    if (this.isStreaming) this.invokeStreaming(headers, body);
    else if (this.isModern) this.invokeModern(headers, body);
    else this.invokeClassic(headers, body);
  }

  /** After the first invocation: the ones that follow come without anybody between, where that can be had. */
  move() {
    this.mayMove = false;
    this.channel.settle();
    this.channel = place.open(this.channel.fd, this.arn) || this.channel;
  }

  /** Before the process ends by `error`: the invocation that runs has failed. */
  abandon(error) {
    if (this.stream !== null) this.stream.fail(forCaller(error));
    else if (!this.isAnswered) this.channel.respondError(this.id, forCaller(error));
    this.channel.flush();
  }

  succeed(id, result) {
    if (!this.isCurrent(id)) return;
    let json;
    try {
      json = JSON.stringify(result === undefined ? null : result);
    } catch (_) {
      this.fail(id, new Error('Unable to stringify response body'));
      return;
    }
    this.isAnswered = true;
    this.channel.respond(id, json === undefined ? 'null' : json);
    this.proceed();
  }

  fail(id, error) {
    if (!this.isCurrent(id)) return;
    this.isAnswered = true;
    log.logError('Invoke Error', error);
    this.channel.respondError(id, forCaller(error));
    this.proceed();
  }

  isCurrent(id) {
    return this.id === id && !this.isAnswered;
  }

  /** What the event loop has ready runs before the process stands still. */
  proceed() {
    this.whenIdle = null;
    setImmediate(this.turn);
  }

  invokeModern(headers, body) {
    const id = this.id;
    this.whenIdle = () => this.succeed(id, null);
    try {
      const result = this.handler(JSON.parse(body), this.context(headers));
      if (!isPromise(result)) this.succeed(id, result);
      else result.then((value) => this.succeed(id, value), (error) => this.fail(id, error));
    } catch (error) {
      this.fail(id, error);
    }
  }

  /** Up to nodejs22.x. The first of callback, context and promise decides; what a synchronous handler returns does not. */
  invokeClassic(headers, body) {
    const id = this.id;
    let isDecided = false;
    const first = (action) => (...values) => {
      if (isDecided) return;
      isDecided = true;
      action(...values);
    };
    const done = first((error, result) => (isNothing(error) ? this.succeed(id, result) : this.fail(id, error)));
    const fail = first((error) => this.fail(id, isNothing(error) ? 'handled' : error));
    const context = this.context(headers, {
      callbackWaitsForEmptyEventLoop: true,
      succeed: (result) => done(null, result),
      fail,
      done,
    });
    const callback = first((error, result) => {
      if (!isNothing(error)) this.fail(id, error);
      else if (!context.callbackWaitsForEmptyEventLoop) this.succeed(id, result);
      else if (this.isCurrent(id)) this.whenIdle = () => setImmediate(() => this.succeed(id, result));
    });
    this.whenIdle = () => this.succeed(id, null);
    try {
      const result = this.handler(JSON.parse(body), context, callback);
      if (isPromise(result)) result.then(context.succeed, fail);
    } catch (error) {
      callback(error);
    }
  }

  async invokeStreaming(headers, body) {
    const id = this.id;
    const { ResponseStream } = require('./stream.cjs');
    const stream = (this.stream = new ResponseStream(this.channel, id, this.highWaterMark));
    const context = this.context(headers, this.isModern ? {} : { callbackWaitsForEmptyEventLoop: true });
    const failed = (error) => {
      if (!this.isCurrent(id)) return;
      log.logError('Invoke Error', error);
      stream.fail(forCaller(error));
      this.endStreaming();
    };
    this.whenIdle = () => failed(new Error('Response stream is not finished.'));
    try {
      const broken = stream.untilFinished();
      const result = this.handler(JSON.parse(body), stream, context);
      if (!isPromise(result)) throw new Error('Streaming does not support non-async handlers.');
      if ((await result) !== undefined) console.warn('Streaming handlers ignore return values.');
      await broken;
      if (this.isCurrent(id)) this.endStreaming();
    } catch (error) {
      failed(error);
    }
  }

  endStreaming() {
    this.isAnswered = true;
    this.proceed();
  }

  context(headers, own = {}) {
    const deadline = Number(headers[`${HEADERS}deadline-ms`]);
    const clientContext = headers[`${HEADERS}client-context`];
    const identity = headers[`${HEADERS}cognito-identity`];
    return Object.assign(own, this.surroundings, {
      clientContext: clientContext === undefined ? undefined : JSON.parse(clientContext),
      identity: identity === undefined ? undefined : JSON.parse(identity),
      invokedFunctionArn: headers[`${HEADERS}invoked-function-arn`],
      awsRequestId: this.id,
      tenantId: headers[`${HEADERS}aws-tenant-id`],
      getRemainingTimeInMillis: () => deadline - Date.now(),
    });
  }
}

function setTrace(trace) {
  if (trace === undefined) delete process.env._X_AMZN_TRACE_ID;
  else process.env._X_AMZN_TRACE_ID = trace;
}

function isNothing(value) {
  return value === undefined || value === null;
}

function isPromise(value) {
  return Boolean(value) && typeof value.then === 'function';
}

module.exports = { Runtime };
