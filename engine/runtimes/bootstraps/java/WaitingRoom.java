// Where a Java process waits until it is told whose it is: it loads what every function needs, asks for its assignment,
// becomes that function's process, and from there on is AWS's own runtime client and nothing else.
package engine;

import com.amazonaws.services.lambda.runtime.api.client.AWSLambda;
import com.amazonaws.services.lambda.runtime.api.client.runtimeapi.JniHelper;
import com.amazonaws.services.lambda.runtime.serialization.PojoSerializer;
import com.amazonaws.services.lambda.runtime.serialization.factories.JacksonFactory;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;
import java.security.Security;
import java.util.Map;

public final class WaitingRoom {
    private static final String CLIENT = "com.amazonaws.services.lambda.runtime.api.client.";
    private static final String SERIALIZATION = "com.amazonaws.services.lambda.runtime.serialization.";
    private static final String ALGORITHMS = "jdk.tls.disabledAlgorithms";
    private static final byte[] SAMPLE =
            "{\"a\": [1, -2.5, true, null, \"\\u00e4\"], \"b\": {\"c\": {}}}".getBytes(StandardCharsets.UTF_8);

    // Their static fields hold variables, which are not the function's yet: loaded, but not initialized.
    private static final String[] LATER = {"AWSLambda", "LambdaEnvironment", "CustomerClassLoader", "HandlerInfo"};
    private static final String[] NOW = {
        CLIENT + "EventHandlerLoader",
        CLIENT + "UserFault",
        CLIENT + "PojoSerializerLoader",
        CLIENT + "logging.LambdaContextLogger",
        CLIENT + "logging.StdOutLogSink",
        CLIENT + "runtimeapi.LambdaRuntimeApiClientImpl",
        CLIENT + "util.ConcurrencyConfig",
        CLIENT + "util.UnsafeUtil",
        SERIALIZATION + "events.LambdaEventSerializers",
        SERIALIZATION + "util.ReflectUtil",
    };

    private WaitingRoom() {}

    public static void main(String[] arguments) throws Throwable {
        if (arguments.length > 0) { // there is no engine: what is loaded until the end shall go into an archive
            Rehearsal.run();
            return;
        }
        Channel channel = new Channel();
        channel.ask();
        Runnable[] steps = steps();
        for (int step = 0; step < steps.length && !channel.hasAnswer(); step++) {
            steps[step].run();
        }
        take(channel.answer());
    }

    static void take(Assignment assignment) throws Throwable {
        Surroundings.setVariables(assignment.variables);
        Surroundings.enter(assignment.taskRoot);
        AWSLambda.main(new String[] {assignment.handler});
    }

    /** What costs a start most comes first: the answer may be there before the last of them. */
    static Runnable[] steps() {
        return new Runnable[] {
            JniHelper::load, WaitingRoom::useSecurity, WaitingRoom::load, WaitingRoom::useJson, Surroundings::load
        };
    }

    // The client sets this one too, and Java gets its whole logging ready to tell that.
    private static void useSecurity() {
        Security.setProperty(ALGORITHMS, Security.getProperty(ALGORITHMS));
    }

    private static void load() {
        for (String name : LATER) {
            load(CLIENT + name, false);
        }
        for (String name : NOW) {
            load(name, true);
        }
    }

    private static void load(String name, boolean initialize) {
        try {
            Class.forName(name, initialize, WaitingRoom.class.getClassLoader());
        } catch (ClassNotFoundException | LinkageError absent) {
            // Of another version of the client, or for a library that it does without. AWSLambda itself would tell.
        }
    }

    private static void useJson() {
        PojoSerializer<Object> serializer = JacksonFactory.getInstance().getSerializer((Type) Map.class);
        serializer.toJson(serializer.fromJson(new ByteArrayInputStream(SAMPLE)), new ByteArrayOutputStream());
    }
}
