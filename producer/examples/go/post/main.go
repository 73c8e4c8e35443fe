// Posts usage events to `tally-producer serve`: post URL < events.ndjson, as in post http://localhost:8480
//
// The API key, where one is asked for, comes from TALLY_INGEST_KEY. The last line printed is the number of events
// that are kept; exit code 0 only when that is all of them. Needs nothing but Go.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	batch = 500
	tries = 10
)

var client = &http.Client{Timeout: time.Minute}

// post returns nil when all are kept. What is sent again has the ids that it had: each counts once.
func post(url string, lines []byte) (err error) {
	for attempt := 0; attempt < tries; attempt++ {
		if attempt > 0 {
			fmt.Fprintf(os.Stderr, "try %d: %v\n", attempt, err)
		}
		wait, again := pause(attempt), true
		if wait, again, err = postOnce(url, lines, wait); err == nil || !again {
			return err
		}
		if attempt+1 < tries {
			time.Sleep(wait)
		}
	}
	return err
}

func pause(attempt int) time.Duration {
	longest := 250 * time.Millisecond << attempt
	if longest > 30*time.Second {
		longest = 30 * time.Second
	}
	return longest/2 + time.Duration(rand.Int63n(int64(longest/2)))
}

// postOnce says whether the same again can help, and after which wait.
func postOnce(url string, lines []byte, wait time.Duration) (time.Duration, bool, error) {
	request, err := http.NewRequest(http.MethodPost, url+"/v1/events", bytes.NewReader(lines))
	if err != nil {
		return 0, false, err
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	if key := os.Getenv("TALLY_INGEST_KEY"); key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	answer, err := client.Do(request)
	if err != nil {
		return wait, true, err // kept or not: nobody knows
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(answer.Body)
	if answer.StatusCode == http.StatusAccepted {
		return 0, false, nil
	}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil {
		wait = time.Duration(seconds) * time.Second
	}
	again := answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests ||
		answer.StatusCode == http.StatusRequestTimeout
	return wait, again, fmt.Errorf("%d %s", answer.StatusCode, said)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "post URL < events.ndjson")
		os.Exit(2)
	}
	kept, read, err := 0, 0, error(nil)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 2<<20)
	var body bytes.Buffer
	send := func() {
		if err = post(os.Args[1], body.Bytes()); err == nil {
			kept = read
		}
		body.Reset()
	}
	for err == nil && lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		read++
		body.Write(lines.Bytes())
		body.WriteByte('\n')
		if read%batch == 0 {
			send()
		}
	}
	if err == nil {
		err = lines.Err()
	}
	if err == nil && body.Len() > 0 {
		send()
	}
	fmt.Println(kept)
	if err != nil {
		fmt.Fprintln(os.Stderr, "not kept:", err)
		os.Exit(1)
	}
}
