// A function's first invocations, played through once for each Java, so that an archive of all classes can be made of it
// (class data sharing). The Runtime API is played by a thread here; after two events the process ends.
package engine;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Map;

public final class Rehearsal implements RequestHandler<Map<String, Object>, Map<String, Object>> {
    private static final int EVENTS = 2;
    private static final String NEXT = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 22\r\n"
            + "Lambda-Runtime-Aws-Request-Id: 00000000-0000-0000-0000-000000000000\r\n"
            + "Lambda-Runtime-Deadline-Ms: 4102444800000\r\nLambda-Runtime-Trace-Id: Root=1\r\n"
            + "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:rehearsal\r\n\r\n"
            + "{\"key\":[\"value\",1,{}]}";
    private static final String ACCEPTED = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

    @Override
    public Map<String, Object> handleRequest(Map<String, Object> event, Context context) {
        context.getLogger().log("rehearsed");
        return event;
    }

    static void run() throws Throwable {
        ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
        Thread thread = new Thread(() -> serve(server));
        thread.setDaemon(true);
        thread.start();
        for (Runnable step : WaitingRoom.steps()) {
            step.run();
        }
        String api = "127.0.0.1:" + server.getLocalPort();
        String root = System.getProperty("user.dir");
        WaitingRoom.take(Assignment.parse("{\"variables\": {\"AWS_LAMBDA_RUNTIME_API\": \"" + api + "\"}, \"handler\": \""
                + Rehearsal.class.getName() + "\", \"task_root\": \"" + root + "\", \"others\": [1, {\"a\": \"]\\n\"}]}"));
    }

    private static void serve(ServerSocket server) {
        try (Socket client = server.accept()) {
            client.setTcpNoDelay(true);
            BufferedReader reader = new BufferedReader(new InputStreamReader(client.getInputStream(), "US-ASCII"));
            OutputStream answers = client.getOutputStream();
            for (int given = 0; ; ) {
                boolean asks = readRequest(reader).startsWith("GET ");
                if (asks && given++ == EVENTS) {
                    Runtime.getRuntime().exit(0);
                }
                answers.write((asks ? NEXT : ACCEPTED).getBytes(StandardCharsets.US_ASCII));
            }
        } catch (IOException failure) {
            failure.printStackTrace();
            Runtime.getRuntime().exit(1);
        }
    }

    private static String readRequest(BufferedReader reader) throws IOException {
        String first = reader.readLine();
        int length = 0;
        for (String line = first; line != null && !line.isEmpty(); line = reader.readLine()) {
            if (line.regionMatches(true, 0, "Content-Length:", 0, 15)) {
                length = Integer.parseInt(line.substring(15).trim());
            }
        }
        for (int done = 0; done < length; done++) {
            reader.read();
        }
        if (first == null) {
            throw new IOException("the client hung up");
        }
        return first;
    }
}
