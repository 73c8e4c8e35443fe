// Posts usage events to `tally-producer serve`: node post.mjs URL < events.ndjson, as in node post.mjs http://localhost:8480
//
// The API key, where one is asked for, comes from TALLY_INGEST_KEY. The last line printed is the number of events
// that are kept; exit code 0 only when that is all of them. Needs nothing but Node 18.
import { setTimeout as sleep } from 'node:timers/promises';
import { batchesOf } from './lines.mjs';

const BATCH = 500;
const TRIES = 10;

const headers = { 'Content-Type': 'application/x-ndjson' };
if (process.env.TALLY_INGEST_KEY) headers.Authorization = `Bearer ${process.env.TALLY_INGEST_KEY}`;

// Returns when all are kept. What is sent again has the ids that it had: each counts once.
async function post(url, lines) {
  const request = { method: 'POST', headers, body: lines.join('\n') };
  let problem;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    let wait = (0.5 + Math.random() / 2) * Math.min(0.25 * 2 ** attempt, 30);
    try {
      const answer = await fetch(`${url}/v1/events`, { ...request, signal: AbortSignal.timeout(60_000) });
      if (answer.status === 202) return;
      problem = `${answer.status} ${await answer.text()}`;
      if (answer.status < 500 && ![408, 429].includes(answer.status)) break; // the same again changes nothing
      wait = Number(answer.headers.get('Retry-After')) || wait;
    } catch (error) {
      problem = `no answer: ${error.cause ?? error}`; // kept or not: nobody knows
    }
    console.error(`try ${attempt + 1}: ${problem}`);
    if (attempt + 1 < TRIES) await sleep(wait * 1000);
  }
  throw new Error(problem);
}

const [url] = process.argv.slice(2);
if (!url) {
  console.error('post.mjs URL < events.ndjson');
  process.exit(2);
}
let kept = 0;
try {
  for await (const lines of batchesOf(process.stdin, BATCH)) {
    await post(url, lines);
    kept += lines.length;
  }
} catch (problem) {
  console.error(`not kept: ${problem.message}`);
  process.exitCode = 1;
}
console.log(kept);
