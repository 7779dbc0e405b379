'use strict';
// From `folder/file.export` to a function: where Lambda looks for the file, and in which words it fails.

const fs = require('fs');
const path = require('path');
const { pathToFileURL } = require('url');
const { HIGH_WATER_MARK, STREAMING } = require('./awslambda.cjs');
const { RuntimeError } = require('./errors.cjs');

const CALLBACK_GONE =
  'ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need to ' +
  'modify this function to use a supported handler signature to use Node.js 24 or later. For more information see ' +
  'https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.';

/** `{call, isStreaming, highWaterMark}` of a handler. `isModern`: the rules of nodejs24.x and later. */
async function load(taskRoot, name, isModern) {
  if (name.includes('..')) {
    throw new RuntimeError(
      'MalformedHandlerName',
      `'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`,
    );
  }
  const base = path.basename(name);
  const folder = name.slice(0, name.indexOf(base));
  const dot = base.indexOf('.');
  if (dot < 0) throw new RuntimeError('MalformedHandlerName', 'Bad handler');
  const found = await loadModule(taskRoot, folder, base.slice(0, dot), isModern);
  const call = findExport(found, base.slice(dot + 1), isModern);
  if (!call) throw new RuntimeError('HandlerNotFound', `${name} is undefined or not exported`);
  if (typeof call !== 'function') throw new RuntimeError('HandlerNotFound', `${name} is not a function`);
  return described(call, isModern);
}

function findExport(found, names, isModern) {
  const within = (object) => names.split('.').reduce((inner, key) => inner && inner[key], object);
  const call = within(found);
  return !call && isModern && found && found.default ? within(found.default) : call;
}

function described(call, isModern) {
  if (call[STREAMING] && call[STREAMING] !== 'response') {
    throw new RuntimeError('MalformedStreamingHandler', 'Only response streaming is supported.');
  }
  const isStreaming = Boolean(call[STREAMING]);
  if (isModern && !isStreaming && call.length >= 3) throw new RuntimeError('CallbackHandlerDeprecated', CALLBACK_GONE);
  const highWaterMark = parseInt(call[HIGH_WATER_MARK], 10);
  return { call, isStreaming, highWaterMark: Number.isNaN(highWaterMark) ? undefined : highWaterMark };
}

async function loadModule(taskRoot, folder, file, isModern) {
  try {
    const whole = path.resolve(taskRoot, folder, file);
    const found = isModern ? await importFirst(whole) : await requireFirst(whole);
    return found || require(require.resolve(file, { paths: [taskRoot, path.join(taskRoot, folder)] }));
  } catch (error) {
    if (error instanceof SyntaxError) throw new RuntimeError('UserCodeSyntaxError', String(error), error);
    if (error && error.code === 'MODULE_NOT_FOUND') throw new RuntimeError('ImportModuleError', String(error), error);
    throw error;
  }
}

/** Up to nodejs22.x: CommonJS unless the suffix or the nearest package.json says otherwise. */
async function requireFirst(whole) {
  if (fs.existsSync(whole)) return require(whole);
  if (fs.existsSync(`${whole}.js`)) return isEsFolder(path.dirname(whole)) ? importFile(`${whole}.js`) : require(`${whole}.js`);
  if (fs.existsSync(`${whole}.mjs`)) return importFile(`${whole}.mjs`);
  return fs.existsSync(`${whole}.cjs`) ? require(`${whole}.cjs`) : undefined;
}

/** From nodejs24.x on: Node itself decides what kind of module a file is. */
async function importFirst(whole) {
  const suffix = ['', '.js', '.mjs', '.cjs'].find((each) => fs.existsSync(whole + each));
  return suffix === undefined ? undefined : importFile(whole + suffix);
}

function importFile(file) {
  return import(pathToFileURL(file).href);
}

function isEsFolder(folder) {
  for (let here = folder; !here.endsWith('/node_modules'); here = path.dirname(here)) {
    const description = path.join(here, 'package.json');
    if (fs.existsSync(description)) return saysModule(description);
    if (here === path.dirname(here)) break;
  }
  return false;
}

function saysModule(description) {
  try {
    return JSON.parse(fs.readFileSync(description, 'utf8')).type === 'module';
  } catch (error) {
    console.warn(`${description} cannot be read, it will be ignored for ES module detection purposes.`, error);
    return false;
  }
}

module.exports = { load };
