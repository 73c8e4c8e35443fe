// Publishes usage events to Kafka: publish BROKERS TOPIC < events.ndjson
//
// franz-go sends. The last line printed is the number of events that every in-sync replica has; exit code 0 only
// when that is all of them. After any other end send them all again: what arrives twice under its id is counted once.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func usageProducer(brokers, topic string) (*kgo.Client, error) {
	return kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // murmur2 of the key, as Java has it: franz-go's own default
		kgo.RequiredAcks(kgo.AllISRAcks()),                   // idempotence is on unless it is disabled
		kgo.RecordDeliveryTimeout(2*time.Minute),             // else it tries for ever
		kgo.ProducerLinger(10*time.Millisecond),
	)
}

// record sends an event as it stands; onDelivery is called once, when every in-sync replica has it or none ever will
// by this client. It waits while too much is on its way.
func record(client *kgo.Client, event []byte, onDelivery func(*kgo.Record, error)) error {
	var envelope struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(event, &envelope); err != nil {
		return err
	}
	if envelope.ID == "" {
		return errors.New("an event without an id")
	}
	client.Produce(context.Background(), &kgo.Record{
		Key:     []byte(envelope.ID),
		Value:   event,
		Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json")}},
	}, onDelivery)
	return nil
}

func publish(client *kgo.Client, events io.Reader) (read, delivered int64, err error) {
	var acked int64
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 2<<20)
	for err == nil && lines.Scan() {
		read++
		event := append([]byte(nil), lines.Bytes()...) // the client keeps it until it is sent
		err = record(client, event, func(sent *kgo.Record, failed error) {
			if failed == nil {
				atomic.AddInt64(&acked, 1)
			} else {
				fmt.Fprintf(os.Stderr, "%s: %v\n", sent.Key, failed)
			}
		})
	}
	if err != nil {
		err = fmt.Errorf("line %d: %w", read, err)
	} else {
		err = lines.Err()
	}
	if flushed := client.Flush(context.Background()); err == nil {
		err = flushed
	}
	return read, atomic.LoadInt64(&acked), err
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "publish BROKERS TOPIC < events.ndjson")
		os.Exit(2)
	}
	client, err := usageProducer(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	read, delivered, err := publish(client, os.Stdin)
	client.Close()
	fmt.Println(delivered)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || delivered != read {
		os.Exit(1)
	}
}
