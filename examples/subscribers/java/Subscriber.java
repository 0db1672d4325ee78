import com.fasterxml.jackson.databind.ObjectMapper;
import io.cloudevents.CloudEvent;
import io.cloudevents.kafka.KafkaMessageFactory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Follows the orders topic with kafka-clients and the CloudEvents SDK. See ../README.md for the rules it keeps. */
public class Subscriber {
    static final Set<String> HANDLED = Set.of(
            "crossdock.OrderPlaced", "crossdock.OrderConfirmed", "crossdock.OrderBackordered",
            "crossdock.OrderRejected", "crossdock.OrderCancelled");
    static final String VERSION = "v1";
    static final ObjectMapper JSON = new ObjectMapper();

    /** The effects, one line each. The line is also what repeats are found by, so both are stored together. */
    static class Journal {
        final Map<String, Long> last = new HashMap<>();
        final FileChannel file;

        Journal(Path path) throws IOException {
            byte[] content = Files.exists(path) ? Files.readAllBytes(path) : new byte[0];
            int end = content.length;
            while (end > 0 && content[end - 1] != '\n') end--; // a killed process can leave half a line
            new String(content, 0, end, StandardCharsets.UTF_8).lines().map(line -> line.split("\t"))
                    .forEach(fields -> last.put(fields[0], Long.parseLong(fields[1])));
            file = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            file.truncate(end);
            file.position(end);
        }

        void append(List<String> lines) throws IOException {
            if (lines.isEmpty()) return;
            ByteBuffer bytes = ByteBuffer.wrap((String.join("\n", lines) + "\n").getBytes(StandardCharsets.UTF_8));
            while (bytes.hasRemaining()) file.write(bytes);
            file.force(true);
        }
    }

    /** Returns the line of an event, or null if there is nothing to do. */
    static String handle(ConsumerRecord<byte[], byte[]> record, Journal journal) {
        String place = record.topic() + "/" + record.partition() + "/" + record.offset();
        String key, type, reference;
        long sequence;
        try {
            CloudEvent event = KafkaMessageFactory.createReader(record).toEvent();
            key = event.getSubject();
            type = event.getType();
            sequence = Long.parseLong((String) event.getExtension("sequence"));
            var order = JSON.readTree(event.getData().toBytes());
            if (!order.isObject()) throw new IOException("the data is no object");
            reference = order.path("reference").asText();
        } catch (Exception error) {
            System.err.println("skipped " + place + ": no CloudEvent: " + error.getMessage());
            return null;
        }
        int dot = type.lastIndexOf('.');
        if (dot < 0 || !HANDLED.contains(type.substring(0, dot))) return null;
        if (!type.substring(dot + 1).equals(VERSION))
            throw new IllegalStateException("stopped at " + place + ": " + type + " is newer than this program");
        if (sequence <= journal.last.getOrDefault(key, 0L)) return null;
        journal.last.put(key, sequence);
        return String.join("\t", key, Long.toString(sequence), type, reference);
    }

    public static void main(String[] arguments) throws Exception {
        var journal = new Journal(Path.of(setting("JOURNAL", "orders.journal")));
        var consumer = new KafkaConsumer<byte[], byte[]>(
                Map.of(
                        "bootstrap.servers", setting("CROSSDOCK_KAFKA", "127.0.0.1:8492"),
                        "group.id", setting("GROUP", "my-subscriber"),
                        "auto.offset.reset", "earliest",
                        "enable.auto.commit", false,
                        "session.timeout.ms", 10_000), // a killed member's partitions go to another one after this time
                new ByteArrayDeserializer(), new ByteArrayDeserializer());
        var main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consumer.wakeup(); // SIGTERM: poll() throws, and the consumer leaves the group
            try {
                main.join(10_000);
            } catch (InterruptedException ignored) {
            }
        }));
        int status = 0;
        try (consumer) {
            consumer.subscribe(List.of(setting("CROSSDOCK_TOPIC", "crossdock.orders.v1")));
            while (true) {
                var records = consumer.poll(Duration.ofMillis(500));
                List<String> lines = new ArrayList<>();
                for (var record : records) {
                    String line = handle(record, journal);
                    if (line != null) lines.add(line);
                }
                journal.append(lines);
                if (!records.isEmpty()) consumer.commitSync(); // after the effects: a killed program gets them again
                lines.forEach(System.out::println);
            }
        } catch (WakeupException stopping) {
            status = 0;
        } catch (IllegalStateException error) {
            System.err.println(error.getMessage());
            status = 1;
        }
        if (status != 0) Runtime.getRuntime().halt(status);
    }

    static String setting(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }
}
