import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Publishes usage events to Kafka: java Publish BROKERS TOPIC < events.ndjson
 *
 * <p>The last line printed is the number of events that every in-sync replica has; exit code 0 only when that is all
 * of them. After any other end send them all again: what arrives twice under its id is counted once.
 *
 * <p>Needs org.apache.kafka:kafka-clients, and com.fasterxml.jackson.core:jackson-databind to read the id.
 */
public final class Publish {
  private static final ObjectMapper JSON = new ObjectMapper();

  static Producer<String, String> usageProducer(String brokers) {
    // A keyed record goes where murmur2 of its key says, unless partitioner.class or partitioner.ignore.keys is set.
    return new KafkaProducer<>(
        Map.of(
            ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
            ProducerConfig.ACKS_CONFIG, "all",
            ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true,
            ProducerConfig.COMPRESSION_TYPE_CONFIG, "lz4",
            ProducerConfig.LINGER_MS_CONFIG, 10),
        new StringSerializer(),
        new StringSerializer());
  }

  /** Sends an event as it stands; waits while too much is on its way. */
  static void record(Producer<String, String> producer, String topic, String event, Callback onDelivery)
      throws IOException {
    JsonNode id = JSON.readTree(event).path("id");
    if (!id.isTextual()) throw new IOException("an event without an id");
    ProducerRecord<String, String> record = new ProducerRecord<>(topic, id.textValue(), event);
    record.headers().add("content-type", "application/cloudevents+json".getBytes(StandardCharsets.UTF_8));
    producer.send(record, onDelivery);
  }

  public static void main(String[] arguments) throws IOException {
    if (arguments.length != 2) {
      System.err.println("Publish BROKERS TOPIC < events.ndjson");
      System.exit(2);
    }
    AtomicLong delivered = new AtomicLong();
    Callback onDelivery =
        (place, problem) -> {
          if (problem == null) {
            delivered.incrementAndGet();
          } else {
            System.err.println(problem);
          }
        };
    long read = 0;
    boolean whole = true;
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    try (Producer<String, String> producer = usageProducer(arguments[0])) { // close() waits for every event's end
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        ++read;
        record(producer, arguments[1], line, onDelivery);
      }
    } catch (IOException | KafkaException problem) {
      System.err.println("line " + read + ": " + problem.getMessage());
      whole = false;
    }
    System.out.println(delivered.get());
    System.exit(whole && delivered.get() == read ? 0 : 1);
  }
}
