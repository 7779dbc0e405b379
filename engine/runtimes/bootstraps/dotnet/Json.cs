// As much JSON as client contexts and error documents need: System.Text.Json is not everywhere where this compiles.

using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text;

namespace Engine.Bootstrap
{
    public static class ErrorDocument
    {
        const int Deepest = 16;

        // The exception, its stack, and what caused it, as AWS's runtime writes them.
        public static string Of(Exception error) => Json.Write(Members(error, 0));

        static Dictionary<string, object> Members(Exception error, int depth)
        {
            var members = new Dictionary<string, object>
            {
                ["errorType"] = error.GetType().Name,
                ["errorMessage"] = error.Message,
                ["stackTrace"] = Lines(error.StackTrace),
            };
            if (error.InnerException != null && depth < Deepest)
            {
                members["cause"] = Members(error.InnerException, depth + 1);
            }
            return members;
        }

        static List<object> Lines(string stack) => (stack ?? "").Split('\n')
            .Select(line => (object)line.Trim()).Where(line => !line.Equals("")).ToList();
    }

    public sealed class Json
    {
        const int Deepest = 64;
        readonly string text;
        int at;

        Json(string text) { this.text = text; }

        // Dictionaries, lists, strings, doubles, booleans, null. Throws FormatException.
        public static object Read(string text)
        {
            var reader = new Json(text);
            var value = reader.Value(0);
            return reader.Peek() == '\0' ? value : throw new FormatException($"not JSON at {reader.at}: {text}");
        }

        public static string Write(object value)
        {
            if (value is Dictionary<string, object> members)
            {
                return "{" + string.Join(",", members.Select(pair => Quoted(pair.Key) + ":" + Write(pair.Value))) + "}";
            }
            if (value is List<object> items)
            {
                return "[" + string.Join(",", items.Select(Write)) + "]";
            }
            if (value is double number)
            {
                return number.ToString("R", CultureInfo.InvariantCulture);
            }
            return value == null ? "null" : value is bool flag ? (flag ? "true" : "false") : Quoted((string)value);
        }

        static string Quoted(string said)
        {
            var quoted = new StringBuilder("\"");
            foreach (var letter in said)
            {
                if (letter == '"' || letter == '\\')
                {
                    quoted.Append('\\').Append(letter);
                }
                else if (letter < ' ' || char.IsSurrogate(letter))
                {
                    quoted.Append("\\u").Append(((int)letter).ToString("x4"));
                }
                else
                {
                    quoted.Append(letter);
                }
            }
            return quoted.Append('"').ToString();
        }

        char Peek()
        {
            while (at < text.Length && char.IsWhiteSpace(text[at]))
            {
                at++;
            }
            return at < text.Length ? text[at] : '\0';
        }

        void Take(char wanted)
        {
            if (Peek() != wanted)
            {
                throw new FormatException($"not JSON at {at}: {text}");
            }
            at++;
        }

        object Value(int depth)
        {
            if (depth > Deepest)
            {
                throw new FormatException($"JSON is nested more than {Deepest} deep");
            }
            switch (Peek())
            {
                case '{': return Object(depth);
                case '[': return Array(depth);
                case '"': return String();
                default: return Plain();
            }
        }

        Dictionary<string, object> Object(int depth)
        {
            var members = new Dictionary<string, object>();
            for (Take('{'); Peek() != '}'; )
            {
                var name = String();
                Take(':');
                members[name] = Value(depth + 1);
                if (Peek() != '}')
                {
                    Take(',');
                }
            }
            at++;
            return members;
        }

        List<object> Array(int depth)
        {
            var items = new List<object>();
            for (Take('['); Peek() != ']'; )
            {
                items.Add(Value(depth + 1));
                if (Peek() != ']')
                {
                    Take(',');
                }
            }
            at++;
            return items;
        }

        string String()
        {
            var said = new StringBuilder();
            for (Take('"'); at < text.Length && text[at] != '"'; at++)
            {
                said.Append(text[at] == '\\' ? Escaped() : text[at]);
            }
            if (at++ >= text.Length)
            {
                throw new FormatException($"a string does not end: {text}");
            }
            return said.ToString();
        }

        char Escaped()
        {
            at++;
            var letter = at < text.Length ? text[at] : '\0';
            if (letter == 'u' && at + 4 < text.Length)
            {
                at += 4;
                return (char)int.Parse(text.Substring(at - 3, 4), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            }
            var plain = "\"\\/bfnrt".IndexOf(letter);
            return plain >= 0 ? "\"\\/\b\f\n\r\t"[plain] : throw new FormatException($"no escape at {at}: {text}");
        }

        object Plain()
        {
            var from = at;
            while (at < text.Length && "+-.eE".IndexOf(text[at]) + 1 + (char.IsLetterOrDigit(text[at]) ? 1 : 0) > 0)
            {
                at++;
            }
            var word = text.Substring(from, at - from);
            switch (word)
            {
                case "true": return true;
                case "false": return false;
                case "null": return null;
                default: return double.Parse(word, NumberStyles.Float, CultureInfo.InvariantCulture);
            }
        }
    }
}
