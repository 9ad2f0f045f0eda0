// express with three limits of express-rate-limit, counted in Redis by rate-limit-redis: `node express.mjs REDIS_URL`.
// Writes `{"port": …}` and serves until its standard input ends. The limits stand in the headers of the request.
import express from 'express';
import { rateLimit } from 'express-rate-limit';
import Redis from 'ioredis';
import { RedisStore } from 'rate-limit-redis';

const PLENTY = 1_000_000_000;
const client = new Redis(process.argv[2]);

const limits = (account) => ['key', 'integration', 'account'].map((scope) => rateLimit({
  windowMs: 60_000,
  limit: scope === 'account' ? account : PLENTY,
  standardHeaders: true,
  legacyHeaders: false,
  keyGenerator: (request) => request.headers['x-subject'],
  store: new RedisStore({
    prefix: `express-${account}-${scope}:`,
    sendCommand: (command, ...words) => client.call(command, ...words),
  }),
}));

const app = express();
app.get('/', ...limits(PLENTY), (_request, response) => response.send('ok'));
app.get('/refused', ...limits(1), (_request, response) => response.send('ok'));
const server = app.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
// Connections are kept between blocks.
server.keepAliveTimeout = 0;
process.stdin.resume().on('end', () => process.exit(0));
