// Publishes usage events to Kafka: node publish.mjs BROKERS TOPIC < events.ndjson
//
// kafkajs sends. The last line printed is the number of events that every in-sync replica has; exit code 0 only when
// that is all of them. After any other end send them all again: what arrives twice under its id is counted once.
//
// Needs: npm install kafkajs
import kafkajs from 'kafkajs';
import { batchesOf } from './lines.mjs';

function usageProducer(brokers) {
  const kafka = new kafkajs.Kafka({ clientId: 'usage', brokers: brokers.split(','), logLevel: kafkajs.logLevel.WARN });
  return kafka.producer({
    createPartitioner: kafkajs.Partitioners.DefaultPartitioner, // murmur2, as Java has it; LegacyPartitioner is not
    idempotent: true,
    maxInFlightRequests: 1, // more than one would reorder what an idempotent producer retries
    retry: { retries: 8 }, // else it tries for ever. kafkajs warns of it; what fails is sent again by its id
  });
}

// An event goes as it stands: JSON.stringify would round long numbers.
function messageOf(event) {
  const { id } = JSON.parse(event);
  if (!id) throw new Error('an event without an id');
  return { key: id, value: event, headers: { 'content-type': 'application/cloudevents+json' } };
}

async function publish(brokers, topic) {
  const producer = usageProducer(brokers);
  let delivered = 0;
  try {
    await producer.connect();
    for await (const events of batchesOf(process.stdin, 500)) {
      await producer.send({ topic, acks: -1, messages: events.map(messageOf) });
      delivered += events.length;
    }
  } finally {
    await producer.disconnect();
    console.log(delivered);
  }
}

const [brokers, topic] = process.argv.slice(2);
if (!topic) {
  console.error('publish.mjs BROKERS TOPIC < events.ndjson');
  process.exit(2);
}
try {
  await publish(brokers, topic);
} catch (problem) {
  console.error(`${problem.name}: ${problem.message}`);
  process.exitCode = 1;
}
