// Whose process this is, read from a JSON object; members that it does not know may be anything. The client has a
// serializer that reads JSON, but it would cost a stream handler 20 ms that it has no other use for.
package engine;

import java.io.IOException;
import java.util.HashMap;
import java.util.Map;

final class Assignment {
    final Map<String, String> variables = new HashMap<>();
    String handler = "";
    String taskRoot = "";

    private final String text;
    private int at;

    private Assignment(String text) {
        this.text = text;
    }

    static Assignment parse(String text) throws IOException {
        Assignment assignment = new Assignment(text);
        try {
            assignment.readAll();
        } catch (StringIndexOutOfBoundsException | NumberFormatException broken) {
            throw assignment.unexpected();
        }
        return assignment;
    }

    private void readAll() throws IOException {
        expect('{');
        do {
            String name = string();
            expect(':');
            switch (name) {
                case "variables":
                    readStrings(variables);
                    break;
                case "handler":
                    handler = string();
                    break;
                case "task_root":
                    taskRoot = string();
                    break;
                default:
                    skip();
            }
        } while (goesOn());
    }

    // One value of any kind: to the comma or the end that is not within it.
    private void skip() throws IOException {
        for (int depth = 0; depth > 0 || ",}]".indexOf(peek()) < 0; ) {
            char next = peek();
            if (next == '"') {
                string();
                continue;
            }
            depth += next == '{' || next == '[' ? 1 : next == '}' || next == ']' ? -1 : 0;
            at++;
        }
    }

    private void readStrings(Map<String, String> into) throws IOException {
        expect('{');
        if (peek() == '}') {
            at++;
            return;
        }
        do {
            String name = string();
            expect(':');
            into.put(name, string());
        } while (goesOn());
    }

    // A comma, or the object's end.
    private boolean goesOn() throws IOException {
        if (peek() == ',') {
            at++;
            return true;
        }
        expect('}');
        return false;
    }

    private String string() throws IOException {
        StringBuilder read = new StringBuilder();
        expect('"');
        for (char next = text.charAt(at++); next != '"'; next = text.charAt(at++)) {
            read.append(next == '\\' ? escaped() : next);
        }
        return read.toString();
    }

    private char escaped() throws IOException {
        char letter = text.charAt(at++);
        int plain = "nrtbf".indexOf(letter);
        if (plain >= 0) {
            return "\n\r\t\b\f".charAt(plain);
        }
        if (letter == 'u') {
            at += 4;
            return (char) Integer.parseInt(text.substring(at - 4, at), 16);
        }
        return letter;
    }

    private void expect(char wanted) throws IOException {
        if (peek() != wanted) {
            throw unexpected();
        }
        at++;
    }

    private char peek() {
        while (Character.isWhitespace(text.charAt(at))) {
            at++;
        }
        return text.charAt(at);
    }

    private IOException unexpected() {
        return new IOException("no assignment: its JSON has something unexpected at character " + at);
    }
}
