// ASSEMBLY::TYPE::METHOD, found by reflection: this program knows no package of AWS's at compile time.

using System;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Threading.Tasks;

namespace Engine.Bootstrap
{
    // As AWS's own runtime calls what is wrong with a handler.
    public sealed class LambdaValidationException : Exception
    {
        public LambdaValidationException(string message) : base(message) { }
    }

    public sealed class Handler
    {
        const BindingFlags Any = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static;
        const string Context = "Amazon.Lambda.Core.ILambdaContext";
        const string Serializer = "Amazon.Lambda.Core.LambdaSerializerAttribute";
        readonly MethodInfo method;
        readonly object target;
        readonly object serializer;
        readonly Type input;
        readonly Type output;

        Handler(MethodInfo method)
        {
            this.method = method;
            var parameters = method.GetParameters();
            var context = parameters.Length > 0 && parameters[parameters.Length - 1].ParameterType.FullName == Context;
            var inputs = parameters.Length - (context ? 1 : 0);
            if (inputs > 1)
            {
                throw new LambdaValidationException(
                    $"Method '{method.Name}' of type '{method.DeclaringType}' has {parameters.Length} parameters: "
                    + "a handler has an input, an ILambdaContext, or both in this order.");
            }
            input = inputs == 1 ? parameters[0].ParameterType : null;
            output = ResultOf(method.ReturnType);
            target = method.IsStatic ? null : Activator.CreateInstance(method.DeclaringType);
            serializer = MakeSerializer(method);
            NeedsSerializer(input);
            NeedsSerializer(output);
        }

        public static Handler Load(string root, string name)
        {
            var parts = (name ?? "").Split(new[] { "::" }, StringSplitOptions.None);
            if (parts.Length != 3 || parts.Any(string.IsNullOrWhiteSpace))
            {
                throw new LambdaValidationException(
                    $"Invalid lambda function handler: '{name}'. The valid format is 'ASSEMBLY::TYPE::METHOD'.");
            }
            AppDomain.CurrentDomain.AssemblyResolve += (_, wanted) => Beside(root, new AssemblyName(wanted.Name).Name);
            var assembly = Beside(root, parts[0]) ?? throw new LambdaValidationException(
                $"Could not find the specified handler assembly with the file name '{parts[0]}.dll'. "
                + "The assembly should be located in the root of your uploaded .zip file.");
            var type = assembly.GetType(parts[1]) ?? throw new LambdaValidationException(
                $"Unable to load type '{parts[1]}' from assembly '{parts[0]}'.");
            return new Handler(Method(type, parts[2], parts[0]));
        }

        static Assembly Beside(string root, string name)
        {
            var path = Path.Combine(root, name + ".dll");
            return File.Exists(path) ? Assembly.LoadFrom(path) : null;
        }

        static MethodInfo Method(Type type, string name, string assembly)
        {
            var found = type.GetMethods(Any | BindingFlags.FlattenHierarchy).Where(each => each.Name == name).ToArray();
            if (found.Length == 1 && !found[0].ContainsGenericParameters)
            {
                return found[0];
            }
            var why = found.Length == 0 ? "Found no methods" : found.Length > 1 ? "Found multiple methods" : "A generic method is";
            throw new LambdaValidationException(
                $"Unable to find method '{name}' in type '{type}' from assembly '{assembly}': {why} matching method name '{name}'.");
        }

        // What is written as the answer; null for nothing.
        static Type ResultOf(Type returned)
        {
            if (typeof(Task).IsAssignableFrom(returned))
            {
                return returned.IsGenericType ? returned.GetGenericArguments()[0] : null;
            }
            return returned == typeof(void) ? null : returned;
        }

        // The method's own, else its assembly's; null where neither names one.
        static object MakeSerializer(MethodInfo method)
        {
            var named = method.GetCustomAttributes(false).Concat(method.Module.Assembly.GetCustomAttributes(false))
                .FirstOrDefault(each => each.GetType().FullName == Serializer);
            var type = named?.GetType().GetProperty("SerializerType").GetValue(named) as Type;
            return type == null ? null : Activator.CreateInstance(type);
        }

        void NeedsSerializer(Type type)
        {
            if (type != null && serializer == null && !typeof(Stream).IsAssignableFrom(type))
            {
                throw new LambdaValidationException(
                    $"Could not find the LambdaSerializerAttribute on the assembly '{method.Module.Assembly.GetName().Name}' or method "
                    + $"'{method.Name}' while trying to use type '{type}'. To use types other than System.IO.Stream as input/output parameters, "
                    + "the assembly or Lambda function should be annotated with Amazon.Lambda.LambdaSerializerAttribute.");
            }
        }

        // The answer's bytes. Throws what the handler throws, wrapped as reflection and tasks do: see Cause.
        public MemoryStream Run(Invocation invocation)
        {
            var arguments = method.GetParameters().Select(
                (parameter, at) => at == 0 && input != null ? Read(invocation.Event) : ContextOf(parameter, invocation)).ToArray();
            var returned = method.Invoke(target, arguments);
            if (returned is Task task)
            {
                task.GetAwaiter().GetResult();
                returned = output == null ? null : task.GetType().GetProperty("Result").GetValue(task);
            }
            return Written(returned);
        }

        static object ContextOf(ParameterInfo parameter, Invocation invocation) =>
            Stand.For(parameter.ParameterType, new LambdaContext(parameter.ParameterType, invocation).Member);

        object Read(MemoryStream given) =>
            typeof(Stream).IsAssignableFrom(input) ? given : Generic("Deserialize", input).Invoke(serializer, new object[] { given });

        MemoryStream Written(object returned)
        {
            var written = new MemoryStream();
            if (output == null || returned == null && typeof(Stream).IsAssignableFrom(output))
            {
                return written;
            }
            if (returned is Stream stream)
            {
                using (stream)
                {
                    stream.CopyTo(written);
                }
                return written;
            }
            Generic("Serialize", output).Invoke(serializer, new[] { returned, written });
            return written;
        }

        // A serializer may have other methods of the same name: its interface has one.
        MethodInfo Generic(string name, Type type) => serializer.GetType().GetInterfaces()
            .First(each => each.FullName == "Amazon.Lambda.Core.ILambdaSerializer").GetMethod(name).MakeGenericMethod(type);

        public static Exception Cause(Exception error)
        {
            while (error.InnerException != null && (error is TargetInvocationException || error is AggregateException))
            {
                error = error.InnerException;
            }
            return error;
        }
    }
}
