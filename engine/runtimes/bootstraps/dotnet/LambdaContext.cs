// What stands behind an ILambdaContext, and behind what it leads to. A member that is not known here has no value.

using System;
using System.Collections.Generic;
using System.Linq;

namespace Engine.Bootstrap
{
    public sealed class LambdaContext
    {
        static readonly DateTime Epoch = new DateTime(1970, 1, 1, 0, 0, 0, DateTimeKind.Utc);
        readonly Type face;
        readonly Invocation invocation;

        public LambdaContext(Type face, Invocation invocation)
        {
            this.face = face;
            this.invocation = invocation;
        }

        public object Member(string name, object[] arguments)
        {
            switch (name)
            {
                case "AwsRequestId": return invocation.RequestId;
                case "InvokedFunctionArn": return invocation.Header("Lambda-Runtime-Invoked-Function-Arn");
                case "TraceId": return invocation.Header("Lambda-Runtime-Trace-Id");
                case "TenantId": return invocation.Header("Lambda-Runtime-Aws-Tenant-Id");
                case "RemainingTime": return Left();
                case "FunctionName": return Variable("AWS_LAMBDA_FUNCTION_NAME");
                case "FunctionVersion": return Variable("AWS_LAMBDA_FUNCTION_VERSION");
                case "LogGroupName": return Variable("AWS_LAMBDA_LOG_GROUP_NAME");
                case "LogStreamName": return Variable("AWS_LAMBDA_LOG_STREAM_NAME");
                case "MemoryLimitInMB": return int.Parse(Variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"));
                case "Logger": return Stand.For(TypeOf(name), Log);
                case "Identity": return Document(name, "Lambda-Runtime-Cognito-Identity");
                case "ClientContext": return Document(name, "Lambda-Runtime-Client-Context");
                default: return null;
            }
        }

        static string Variable(string name) => Environment.GetEnvironmentVariable(name);

        TimeSpan Left()
        {
            var deadline = long.Parse(invocation.Header("Lambda-Runtime-Deadline-Ms"));
            return TimeSpan.FromMilliseconds(deadline) - (DateTime.UtcNow - Epoch);
        }

        Type TypeOf(string name) => face.GetProperty(name).PropertyType;

        // Log(message), LogLine(message), Log(level, message, ...): the text is what comes last of the strings.
        static object Log(string name, object[] arguments)
        {
            var text = arguments.OfType<string>().LastOrDefault() ?? "";
            if (name == "Log" && arguments.Length == 1)
            {
                Console.Write(text);
            }
            else
            {
                Console.WriteLine(text);
            }
            return null;
        }

        object Document(string name, string header)
        {
            var text = invocation.Header(header);
            return string.IsNullOrEmpty(text) ? null : Of(TypeOf(name), Json.Read(text) as Dictionary<string, object>);
        }

        static object Of(Type face, Dictionary<string, object> members) =>
            members == null ? null : Stand.For(face, (name, _) => Value(face.GetProperty(name).PropertyType, Found(members, name)));

        // AppTitle is written appTitle, app_title or AppTitle by one client or another.
        static object Found(Dictionary<string, object> members, string name) => members
            .Where(pair => string.Equals(pair.Key.Replace("_", ""), name.Replace("_", ""), StringComparison.OrdinalIgnoreCase)
                || name.StartsWith("Identity") && string.Equals(pair.Key, "cognito" + name, StringComparison.OrdinalIgnoreCase))
            .Select(pair => pair.Value).FirstOrDefault();

        static object Value(Type type, object found)
        {
            if (type == typeof(IDictionary<string, string>))
            {
                var members = found as Dictionary<string, object> ?? new Dictionary<string, object>();
                return members.ToDictionary(pair => pair.Key, pair => pair.Value as string ?? Json.Write(pair.Value));
            }
            return type.IsInterface ? Of(type, found as Dictionary<string, object>) : found as string;
        }
    }
}
