// What a process takes over from its function besides code: variables and working folder, which Java has no words for.
package engine;

import java.io.File;
import java.io.IOException;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.Map;

final class Surroundings {
    private static final String LIBRARY = "engine.library";

    private Surroundings() {}

    /** Makes these, and no others, what System.getenv() tells and what child processes inherit. */
    static void setVariables(Map<String, String> variables) throws ReflectiveOperationException {
        Class<?> environment = Class.forName("java.lang.ProcessEnvironment");
        Field kept = environment.getDeclaredField("theEnvironment");
        kept.setAccessible(true);
        Map<?, ?> raw = (Map<?, ?>) kept.get(null);
        Constructor<?> view = Class.forName("java.lang.ProcessEnvironment$StringEnvironment").getDeclaredConstructor(Map.class);
        view.setAccessible(true);
        @SuppressWarnings("unchecked")
        Map<String, String> strings = (Map<String, String>) view.newInstance(raw);
        strings.keySet().retainAll(variables.keySet());
        strings.putAll(variables);
    }

    static void load() {
        System.load(System.getProperty(LIBRARY));
    }

    /** Makes it the working folder: of the process, and in the property by which AWS's client finds the code. */
    static void enter(String folder) throws IOException {
        load(); // a second time does nothing
        byte[] path = folder.getBytes(StandardCharsets.UTF_8);
        for (int at = 0; at < path.length; at++) {
            put(at, path[at]);
        }
        int failure = change(path.length);
        if (failure != 0) {
            throw new IOException("cannot enter " + folder + ": errno " + failure);
        }
        System.setProperty("user.dir", folder);
    }

    private static native void put(int at, byte part);

    private static native int change(int length);
}
