// Limiters on npm, each deciding by three limits: `node worker.mjs REDIS_URL`. Speaks the protocol of bench/src/main.rs.
//
// The three limits are asked for together, so that the client sends them as one pipelined write: the kindest way to ask a
// limiter that knows one limit a call.
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { Ratelimit } from '@upstash/ratelimit';
import Redis from 'ioredis';
import { RateLimiterRedis } from 'rate-limiter-flexible';

const SUBJECTS = 64;
const PLENTY = 1_000_000_000;
const SCOPES = ['key', 'integration', 'account'];
const url = process.argv[2];

/** A limiter by each of the scopes; `account` is the limit of the last, and `of` makes one of them. */
const byScope = (account, of) => SCOPES.map((scope) => of(scope, scope === 'account' ? account : PLENTY));

function flexible(client, account) {
  const limiters = byScope(account, (scope, points) =>
    new RateLimiterRedis({ storeClient: client, keyPrefix: `flexible-${account}-${scope}`, points, duration: 60 }));
  return async (subject) => {
    const decisions = await Promise.allSettled(limiters.map((limiter) => limiter.consume(subject)));
    const broken = decisions.find((decision) => decision.reason instanceof Error);
    if (broken) throw broken.reason;
    return decisions.every((decision) => decision.status === 'fulfilled');
  };
}

/** What @upstash/ratelimit asks of its client, over ioredis. Its scripts begin with a flag that only its server knows. */
function overIoredis(client) {
  const loaded = new Map();
  const hash = (script) => createHash('sha1').update(script).digest('hex');
  return {
    async evalsha(sha, keys, args) {
      if (!loaded.has(sha)) throw new Error('NOSCRIPT');
      return client.evalsha(loaded.get(sha), keys.length, ...keys, ...args);
    },
    async eval(script, keys, args) {
      const plain = script.replace(/^#!lua[^\n]*\n/, '');
      const reply = await client.eval(plain, keys.length, ...keys, ...args);
      loaded.set(hash(script), hash(plain));
      return reply;
    },
  };
}

function upstash(client, account) {
  const redis = overIoredis(client);
  const limiters = byScope(account, (scope, tokens) =>
    new Ratelimit({ redis, limiter: Ratelimit.fixedWindow(tokens, '60 s'), prefix: `upstash-${account}-${scope}` }));
  return async (subject) => {
    const decisions = await Promise.all(limiters.map((limiter) => limiter.limit(subject)));
    if (decisions.some((decision) => decision.reason === 'timeout')) throw new Error('timed out');
    return decisions.every((decision) => decision.success);
  };
}

// By name: how many connections, what makes a limiter, and the account's limit.
const TARGETS = {
  'rate-limiter-flexible': [1, flexible, PLENTY],
  'rate-limiter-flexible/32': [32, flexible, PLENTY],
  'rate-limiter-flexible/refused': [1, flexible, 1],
  'upstash': [1, upstash, PLENTY],
  'upstash/32': [32, upstash, PLENTY],
  'upstash/refused': [1, upstash, 1],
};
const deciders = new Map();

async function decidersOf(target) {
  if (!deciders.has(target)) {
    const [connections, limiter, account] = TARGETS[target];
    deciders.set(target, Array.from({ length: connections }, () => limiter(new Redis(url), account)));
  }
  return deciders.get(target);
}

let turn = 0;

async function block({ target, connections, millis }) {
  const all = await decidersOf(target);
  const refuses = target.endsWith('/refused');
  // Whoever is to be refused has used up the account's limit first.
  if (refuses) for (let subject = 0; subject < SUBJECTS; subject++) await all[0](`acme-${subject}`);
  const began = process.hrtime.bigint();
  const from = began + BigInt(millis) * 100_000n;
  const until = began + BigInt(millis) * 1_000_000n;
  const nanos = [];
  const loop = async (decide) => {
    for (;;) {
      const start = process.hrtime.bigint();
      if (start >= until) return;
      const passed = await decide(`acme-${turn++ % SUBJECTS}`);
      const end = process.hrtime.bigint();
      // A window may have begun since the limit was used up: one call a subject passes then.
      if (!passed && !refuses) throw new Error('refused');
      if (start >= from && end <= until) nanos.push(Number(end - start));
    }
  };
  await Promise.all(Array.from({ length: connections }, (_, i) => loop(all[i % all.length])));
  return { measured_ns: Number(until - from), nanos };
}

const version = (name) => createRequire(import.meta.url)(`./node_modules/${name}/package.json`).version;
const packages = ['rate-limiter-flexible', '@upstash/ratelimit', 'ioredis', 'express-rate-limit', 'rate-limit-redis', 'express'];
const versions = Object.fromEntries([['node', process.versions.node], ...packages.map((name) => [name, version(name)])]);
console.log(JSON.stringify({ versions }));
for await (const line of createInterface({ input: process.stdin })) {
  const reply = await block(JSON.parse(line)).catch((error) => ({ error: String(error) }));
  console.log(JSON.stringify(reply));
}
process.exit(0);
