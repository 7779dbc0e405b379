package behaves;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaLogger;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import java.util.concurrent.CountDownLatch;

/** Does as its event says. */
public class Behave {
    public static class OutOfStock extends RuntimeException {
        public OutOfStock(String what, Throwable cause) {
            super(what + " is out of stock", cause);
        }
    }

    private static final int MIB = 1 << 20;

    public Object handle(Map<String, Object> event, Context context) throws Exception {
        String what = (String) event.getOrDefault("do", "nothing");
        switch (what) {
            case "fail":
                throw outOfStock();
            case "fail without words":
                throw new NullPointerException();
            case "print":
                return print(context.getLogger());
            case "context":
                return describe(context);
            case "files":
                return files();
            case "exit":
                System.exit(((Number) event.get("status")).intValue());
                return null;
            case "hang":
                new CountDownLatch(1).await();
                return null;
            case "fill the heap":
                return new byte[Integer.MAX_VALUE - 8].length;
            case "fill memory":
                return fill(150, 150);
            default:
                return what;
        }
    }

    private static RuntimeException outOfStock() {
        return new OutOfStock("tea", new IOException("no ship came"));
    }

    private static String print(LambdaLogger logger) throws IOException, InterruptedException {
        System.out.println("to standard output: ä");
        System.err.println("to standard error");
        logger.log("by the logger\n");
        logger.log("with a level", LogLevel.WARN);
        logger.log("not worth it", LogLevel.DEBUG);
        Process child = new ProcessBuilder("/bin/echo", "of a child process").inheritIO().start();
        child.waitFor();
        return "printed";
    }

    private static Map<String, Object> describe(Context context) throws Exception {
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("request_id", context.getAwsRequestId());
        told.put("name", context.getFunctionName());
        told.put("version", context.getFunctionVersion());
        told.put("arn", context.getInvokedFunctionArn());
        told.put("group", context.getLogGroupName());
        told.put("stream", context.getLogStreamName());
        told.put("memory_mb", context.getMemoryLimitInMB());
        told.put("left_ms", context.getRemainingTimeInMillis());
        told.put("custom", context.getClientContext() == null ? null : context.getClientContext().getCustom());
        told.put("environment", System.getenv());
        told.put("child_environment", output(new ProcessBuilder("/usr/bin/env").start()));
        told.put("heap_mb", Runtime.getRuntime().maxMemory() / MIB);
        told.put("thread", Thread.currentThread().getName());
        return told;
    }

    private static Map<String, Object> files() throws IOException {
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("folder", System.getProperty("user.dir"));
        told.put("by a relative path", new String(Files.readAllBytes(Paths.get("settings.txt")), StandardCharsets.UTF_8));
        try (Scanner scanner = new Scanner(new java.io.FileInputStream("settings.txt"), "UTF-8")) {
            told.put("by a stream", scanner.nextLine());
        }
        told.put("absolute", Paths.get("settings.txt").toAbsolutePath().toString());
        told.put("names", Arrays.asList(Files.exists(Paths.get("gr\u00fcn")), new java.io.File("gr\u00fcn").isFile()));
        told.put("charset", java.nio.charset.Charset.defaultCharset().name());
        told.put("locale", java.util.Locale.getDefault().toString());
        told.put("resource", Behave.class.getResource("/settings.txt").getPath());
        told.put("tmp", Arrays.asList(new java.io.File("/tmp").list()));
        told.put("child", output(new ProcessBuilder("/bin/pwd").start()).trim());
        return told;
    }

    private static String output(Process process) {
        try (Scanner scanner = new Scanner(process.getInputStream(), "UTF-8").useDelimiter("\\A")) {
            return scanner.hasNext() ? scanner.next() : "";
        }
    }

    private static int fill(int heapMib, int directMib) {
        List<Object> kept = new ArrayList<>();
        for (int mib = 0; mib < directMib; mib++) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(MIB);
            while (buffer.hasRemaining()) {
                buffer.putLong(0x5555555555555555L);
            }
            kept.add(buffer);
        }
        for (int mib = 0; mib < heapMib; mib++) {
            byte[] part = new byte[MIB];
            Arrays.fill(part, (byte) 0x55);
            kept.add(part);
        }
        return kept.size();
    }
}
