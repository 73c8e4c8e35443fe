import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Posts usage events to `tally-producer serve`: java Post URL < events.ndjson, as in java Post http://localhost:8480
 *
 * <p>The API key, where one is asked for, comes from TALLY_INGEST_KEY. The last line printed is the number of events
 * that are kept; exit code 0 only when that is all of them. Needs nothing but Java 17.
 */
public final class Post {
  private static final int BATCH = 500;
  private static final int TRIES = 10;
  private static final HttpClient CLIENT = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

  private static HttpRequest requestOf(String url, List<String> lines) {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(URI.create(url + "/v1/events"))
            .timeout(Duration.ofMinutes(1))
            .header("Content-Type", "application/x-ndjson")
            .POST(HttpRequest.BodyPublishers.ofString(String.join("\n", lines)));
    String key = System.getenv("TALLY_INGEST_KEY");
    if (key != null && !key.isEmpty()) request.header("Authorization", "Bearer " + key);
    return request.build();
  }

  /** Returns when all are kept. What is sent again has the ids that it had: each counts once. */
  static void post(String url, List<String> lines) throws IOException, InterruptedException {
    HttpRequest request = requestOf(url, lines);
    String problem = "";
    for (int attempt = 0; attempt < TRIES; ++attempt) {
      long wait = (long) (ThreadLocalRandom.current().nextDouble(0.5, 1) * Math.min(250L << attempt, 30_000));
      try {
        HttpResponse<String> answer = CLIENT.send(request, HttpResponse.BodyHandlers.ofString());
        int status = answer.statusCode();
        if (status == 202) return;
        problem = status + " " + answer.body();
        if (status < 500 && status != 408 && status != 429) break; // the same again changes nothing
        String asked = answer.headers().firstValue("Retry-After").orElse("");
        if (asked.matches("\\d{1,9}")) wait = 1000 * Long.parseLong(asked);
      } catch (IOException unknown) {
        problem = "no answer: " + unknown; // kept or not: nobody knows
      }
      System.err.println("try " + (attempt + 1) + ": " + problem);
      if (attempt + 1 < TRIES) Thread.sleep(wait);
    }
    throw new IOException(problem);
  }

  public static void main(String[] arguments) throws InterruptedException {
    if (arguments.length != 1) {
      System.err.println("Post URL < events.ndjson");
      System.exit(2);
    }
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    List<String> lines = new ArrayList<>();
    long kept = 0;
    int code = 0;
    try {
      for (String line = input.readLine(); line != null || !lines.isEmpty(); line = input.readLine()) {
        if (line != null && !line.isBlank()) lines.add(line);
        if (lines.size() == BATCH || (line == null && !lines.isEmpty())) {
          post(arguments[0], lines);
          kept += lines.size();
          lines.clear();
        }
      }
    } catch (IOException problem) {
      System.err.println("not kept: " + problem.getMessage());
      code = 1;
    }
    System.out.println(kept);
    System.exit(code);
  }
}
