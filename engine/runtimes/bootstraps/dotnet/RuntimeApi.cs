// The Runtime API on one connection: HTTP/1.1 on a plain socket, whose answers always have a Content-Length.

using System;
using System.Collections.Generic;
using System.IO;
using System.Net.Sockets;
using System.Text;

namespace Engine.Bootstrap
{
    public sealed class Invocation
    {
        readonly Dictionary<string, string> headers;

        public Invocation(Dictionary<string, string> headers, byte[] body)
        {
            this.headers = headers;
            Event = new MemoryStream(body, false);
        }

        public MemoryStream Event { get; }

        public string RequestId => Header("Lambda-Runtime-Aws-Request-Id");

        // Null where there is none.
        public string Header(string name) => headers.TryGetValue(name, out var value) ? value : null;
    }

    public sealed class RuntimeApi
    {
        const string Base = "/2018-06-01/runtime/";
        const int HeadMax = 1 << 16;
        readonly string address;
        readonly Stream stream;

        public RuntimeApi(string address)
        {
            this.address = address;
            var colon = address.LastIndexOf(':');
            var client = new TcpClient { NoDelay = true };
            client.Connect(address.Substring(0, colon), int.Parse(address.Substring(colon + 1)));
            stream = new BufferedStream(client.GetStream(), 1 << 16);
        }

        public Invocation Next()
        {
            Send("GET", "invocation/next", null, new ArraySegment<byte>(new byte[0]));
            var status = Receive(out var headers, out var body);
            if (status != 200)
            {
                throw new IOException($"the Runtime API answers {status} to a request for an event");
            }
            return new Invocation(headers, body);
        }

        public void Answer(string requestId, MemoryStream answer)
        {
            // 413 is told to the caller by the Runtime API itself.
            Post($"invocation/{requestId}/response", null, new ArraySegment<byte>(answer.GetBuffer(), 0, (int)answer.Length));
        }

        public void Fail(string requestId, string type, string document) =>
            Post($"invocation/{requestId}/error", type, Bytes(document));

        public void FailInit(string type, string document) => Post("init/error", type, Bytes(document));

        static ArraySegment<byte> Bytes(string text) => new ArraySegment<byte>(Encoding.UTF8.GetBytes(text));

        void Post(string path, string errorType, ArraySegment<byte> body)
        {
            Send("POST", path, errorType, body);
            Receive(out _, out _);
        }

        void Send(string method, string path, string errorType, ArraySegment<byte> body)
        {
            var head = new StringBuilder();
            head.Append($"{method} {Base}{path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n");
            if (errorType != null)
            {
                head.Append($"Lambda-Runtime-Function-Error-Type: {errorType}\r\n");
            }
            head.Append($"Content-Length: {body.Count}\r\n\r\n");
            var bytes = Encoding.ASCII.GetBytes(head.ToString());
            stream.Write(bytes, 0, bytes.Length);
            stream.Write(body.Array, body.Offset, body.Count);
            stream.Flush();
        }

        int Receive(out Dictionary<string, string> headers, out byte[] body)
        {
            headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
            var status = int.Parse(Line().Split(' ')[1]);
            for (var line = Line(); line.Length > 0; line = Line())
            {
                var colon = line.IndexOf(':');
                headers[line.Substring(0, colon)] = line.Substring(colon + 1).Trim();
            }
            body = new byte[headers.TryGetValue("Content-Length", out var length) ? int.Parse(length) : 0];
            for (var at = 0; at < body.Length;)
            {
                var count = stream.Read(body, at, body.Length - at);
                at += count > 0 ? count : throw new EndOfStreamException("the Runtime API has ended the connection");
            }
            return status;
        }

        string Line()
        {
            var line = new MemoryStream();
            for (var value = stream.ReadByte(); value != '\n'; value = stream.ReadByte())
            {
                if (value < 0 || line.Length > HeadMax)
                {
                    throw new EndOfStreamException("the Runtime API has ended the connection within a head");
                }
                line.WriteByte((byte)value);
            }
            return Encoding.UTF8.GetString(line.ToArray()).TrimEnd('\r');
        }
    }
}
