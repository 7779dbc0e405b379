// Runs a handler of a class library: loads it, then takes event after event from the Runtime API.

using System;
using System.IO;
using System.Reflection;

namespace Engine.Bootstrap
{
    public static class Program
    {
        public static int Main()
        {
            var api = new RuntimeApi(Environment.GetEnvironmentVariable("AWS_LAMBDA_RUNTIME_API"));
            Handler handler;
            try
            {
                handler = Handler.Load(
                    Environment.GetEnvironmentVariable("LAMBDA_TASK_ROOT"), Environment.GetEnvironmentVariable("_HANDLER"));
            }
            catch (Exception error)
            {
                var cause = Handler.Cause(error);
                Console.Error.WriteLine(cause);
                api.FailInit(cause.GetType().Name, ErrorDocument.Of(cause));
                return 1;
            }
            while (true)
            {
                Serve(api, handler, api.Next());
            }
        }

        static void Serve(RuntimeApi api, Handler handler, Invocation invocation)
        {
            // What X-Ray's SDK reads at each call.
            Environment.SetEnvironmentVariable("_X_AMZN_TRACE_ID", invocation.Header("Lambda-Runtime-Trace-Id"));
            MemoryStream answer;
            try
            {
                answer = handler.Run(invocation);
            }
            catch (Exception error)
            {
                var cause = Handler.Cause(error);
                Console.Error.WriteLine(cause);
                api.Fail(invocation.RequestId, cause.GetType().Name, ErrorDocument.Of(cause));
                return;
            }
            api.Answer(invocation.RequestId, answer);
        }
    }
}
