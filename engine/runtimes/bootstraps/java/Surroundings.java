// What a process takes over from its function besides code: variables and working folder, which Java has no words for.
package engine;

import java.io.File;
import java.io.IOException;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystems;
import java.util.Map;

final class Surroundings {
    private static final String LIBRARY = "engine.library";

    private Surroundings() {}

    /** Makes these, and no others, what System.getenv() tells, and what libraries see and child processes inherit. */
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
        load();
        clear();
        for (Map.Entry<String, String> variable : variables.entrySet()) {
            give(variable.getKey() + "=" + variable.getValue());
            set();
        }
    }

    /** A second time does nothing. */
    static void load() {
        System.load(System.getProperty(LIBRARY));
    }

    /** Makes it the working folder: of the process, and in the property by which AWS's client finds the code. */
    static void enter(String folder) throws IOException, ReflectiveOperationException {
        load();
        give(folder);
        int failure = change();
        if (failure != 0) {
            throw new IOException("cannot enter " + folder + ": errno " + failure);
        }
        System.setProperty("user.dir", folder);
        tellFiles(folder);
        tellPaths(folder.getBytes(StandardCharsets.UTF_8));
    }

    // Both have asked for the working folder when Java started, and will not ask again.
    private static void tellFiles(String folder) throws ReflectiveOperationException {
        for (Field field : File.class.getDeclaredFields()) {
            if (field.getType().getName().equals("java.io.FileSystem")) {
                field.setAccessible(true);
                Object system = field.get(null);
                setIfThere(system.getClass(), "userDir", system, folder); // Java 8 has none, and does ask again
            }
        }
    }

    private static void tellPaths(byte[] folder) throws ReflectiveOperationException {
        Object system = FileSystems.getDefault();
        setIfThere(system.getClass().getSuperclass(), "defaultDirectory", system, folder);
    }

    private static void setIfThere(Class<?> type, String name, Object of, Object value) throws IllegalAccessException {
        for (Field field : type.getDeclaredFields()) {
            if (field.getName().equals(name)) {
                field.setAccessible(true);
                field.set(of, value);
            }
        }
    }

    private static void give(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        for (int at = 0; at < bytes.length; at++) {
            put(at, bytes[at]);
        }
        put(bytes.length, (byte) 0);
    }

    // See surroundings.c. What was put last, up to a zero, is what the others take.
    private static native void put(int at, byte part);

    private static native int change();

    private static native void clear();

    private static native void set();
}
