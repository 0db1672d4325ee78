// Follow the orders topic with franz-go. See ../README.md for the rules it keeps.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const version = "v1"

var handled = map[string]bool{
	"crossdock.OrderPlaced":      true,
	"crossdock.OrderConfirmed":   true,
	"crossdock.OrderBackordered": true,
	"crossdock.OrderRejected":    true,
	"crossdock.OrderCancelled":   true,
}

// journal has the effects, one line each. The line is also what repeats are found by, so both are stored together.
type journal struct {
	last map[string]int64
	file *os.File
}

func openJournal(path string) (*journal, error) {
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	whole := content[:bytes.LastIndexByte(content, '\n')+1] // a killed process can leave half a line
	last := map[string]int64{}
	for _, line := range strings.Split(strings.TrimSuffix(string(whole), "\n"), "\n") {
		if fields := strings.Split(line, "\t"); len(fields) > 1 {
			if last[fields[0]], err = strconv.ParseInt(fields[1], 10, 64); err != nil {
				return nil, err
			}
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	if err := file.Truncate(int64(len(whole))); err != nil {
		return nil, err
	}
	_, err = file.Seek(0, 2)
	return &journal{last, file}, err
}

func (j *journal) append(lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	if _, err := j.file.WriteString(strings.Join(lines, "\n") + "\n"); err != nil {
		return err
	}
	return j.file.Sync()
}

// handle returns the line of an event, or "" if there is nothing to do.
func handle(record *kgo.Record, j *journal) (string, error) {
	place := fmt.Sprintf("%s/%d/%d", record.Topic, record.Partition, record.Offset)
	headers := map[string]string{}
	for _, header := range record.Headers {
		headers[header.Key] = string(header.Value)
	}
	sequence, err := strconv.ParseInt(headers["ce_sequence"], 10, 64)
	var order struct {
		Reference string `json:"reference"`
	}
	if err == nil {
		err = json.Unmarshal(record.Value, &order)
	}
	if err != nil || headers["ce_specversion"] != "1.0" {
		log.Printf("skipped %s: no CloudEvent: %v", place, err)
		return "", nil
	}
	dot := strings.LastIndexByte(headers["ce_type"], '.')
	if dot < 0 || !handled[headers["ce_type"][:dot]] {
		return "", nil
	}
	if headers["ce_type"][dot+1:] != version {
		return "", fmt.Errorf("stopped at %s: %s is newer than this program", place, headers["ce_type"])
	}
	key := headers["ce_subject"]
	if sequence <= j.last[key] {
		return "", nil
	}
	j.last[key] = sequence
	return strings.Join([]string{key, strconv.FormatInt(sequence, 10), headers["ce_type"], order.Reference}, "\t"), nil
}

func run() error {
	stopping, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	j, err := openJournal(setting("JOURNAL", "orders.journal"))
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(setting("CROSSDOCK_KAFKA", "127.0.0.1:8492")),
		kgo.ConsumerGroup(setting("GROUP", "my-subscriber")),
		kgo.ConsumeTopics(setting("CROSSDOCK_TOPIC", "crossdock.orders.v1")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(10*time.Second), // a killed member's partitions go to another member after this time
		kgo.BlockRebalanceOnPoll(),         // no partition moves between poll and commit
	)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance() // leaves the group, so that another member takes over at once
	for {
		fetches := client.PollRecords(stopping, 500)
		if stopping.Err() != nil {
			return nil
		}
		fetches.EachError(func(topic string, partition int32, err error) { log.Printf("retrying: %v", err) })
		var lines []string
		for _, record := range fetches.Records() {
			line, err := handle(record, j)
			if err != nil {
				return err
			}
			if line != "" {
				lines = append(lines, line)
			}
		}
		if err := j.append(lines); err != nil {
			return err
		}
		// After the effects: a killed program gets the records again.
		if err := client.CommitRecords(context.Background(), fetches.Records()...); err != nil {
			return err
		}
		client.AllowRebalance()
		for _, line := range lines {
			fmt.Println(line)
		}
	}
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
