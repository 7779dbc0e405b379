// A class library with handlers of every signature that Lambda takes.

using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.Serialization;
using System.Runtime.Serialization.Json;
using System.Threading;
using System.Threading.Tasks;
using Amazon.Lambda.Core;

[assembly: LambdaSerializer(typeof(Behaves.Serializer))]

namespace Behaves
{
    public class Serializer : ILambdaSerializer
    {
        public T Deserialize<T>(Stream given) => (T)new DataContractJsonSerializer(typeof(T)).ReadObject(given);

        public void Serialize<T>(T answer, Stream into) => new DataContractJsonSerializer(typeof(T)).WriteObject(into, answer);
    }

    [DataContract]
    public class Order
    {
        [DataMember(Name = "name")] public string Name { get; set; }

        [DataMember(Name = "number")] public int Number { get; set; }
    }

    public class OutOfStockException : Exception
    {
        public OutOfStockException(string item, Exception cause) : base(item + " is out of stock", cause) { }
    }

    public class Function
    {
        static readonly List<byte[]> Held = new List<byte[]>();
        int count;

        public Order Typed(Order given, ILambdaContext context) => new Order { Name = "Hello, " + given.Name + "!", Number = ++count };

        public async Task<string> Later(string given)
        {
            await Task.Delay(1);
            return given.ToUpperInvariant();
        }

        public async Task Nothing(Order given) => await Task.Yield();

        public void Quiet() => Console.WriteLine("quiet: " + ++count);

        public static Stream Echo(Stream given, ILambdaContext context) => given;

        public Dictionary<string, string> About(ILambdaContext context)
        {
            context.Logger.LogLine("by the logger");
            Console.Error.WriteLine("to standard error");
            return new Dictionary<string, string>
            {
                ["request"] = context.AwsRequestId,
                ["arn"] = context.InvokedFunctionArn,
                ["name"] = context.FunctionName + " " + context.FunctionVersion,
                ["memory"] = context.MemoryLimitInMB.ToString(),
                ["log"] = context.LogGroupName,
                ["left"] = ((int)context.RemainingTime.TotalMilliseconds).ToString(),
                ["title"] = context.ClientContext?.Client.AppTitle,
                ["custom"] = context.ClientContext?.Custom["a"],
                ["identity"] = context.Identity?.IdentityId ?? "nobody",
                ["folder"] = Directory.GetCurrentDirectory(),
                ["trace"] = Environment.GetEnvironmentVariable("_X_AMZN_TRACE_ID"),
            };
        }

        public string Fails(string kind)
        {
            switch (kind)
            {
                case "plain": throw new InvalidOperationException("asked to: \"é\"\n");
                case "cause": Innermost(); return null;
                case "exit": Environment.Exit(3); return null;
                case "sleep": Thread.Sleep(60000); return null;
                case "hog": return Hog();
                default: return kind;
            }
        }

        public async Task<string> FailsLater(string kind)
        {
            await Task.Delay(1);
            return Fails(kind);
        }

        static void Innermost()
        {
            try
            {
                throw new InvalidOperationException("empty shelf");
            }
            catch (InvalidOperationException cause)
            {
                throw new OutOfStockException("tea", cause);
            }
        }

        static string Hog()
        {
            while (true)
            {
                var block = new byte[1 << 20];
                for (var at = 0; at < block.Length; at += 4096)
                {
                    block[at] = 1;
                }
                Held.Add(block);
            }
        }

        public string Twice(string given) => given;

        public string Twice(int given) => "";

        public string ThreeOf(string one, string two, ILambdaContext context) => "";

        void Hidden() { }
    }

    public class Unborn
    {
        public Unborn() { throw new OutOfStockException("constructor", null); }

        public void Run() { }
    }
}
