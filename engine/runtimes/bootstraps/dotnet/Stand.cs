// An object of an interface that is known only when the function's assemblies are loaded: made by emitting its type.

using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using System.Reflection.Emit;

namespace Engine.Bootstrap
{
    // What such an object does: a member's name (of a property without "get_") and arguments to its value.
    public delegate object Member(string name, object[] arguments);

    public static class Stand
    {
        static readonly ModuleBuilder Module = AssemblyBuilder
            .DefineDynamicAssembly(new AssemblyName("Engine.Stands"), AssemblyBuilderAccess.Run).DefineDynamicModule("Engine.Stands");
        static readonly Dictionary<Type, Type> Made = new Dictionary<Type, Type>();

        public static object For(Type face, Member member)
        {
            if (!Made.TryGetValue(face, out var type))
            {
                Made[face] = type = Emit(face);
            }
            return Activator.CreateInstance(type, member);
        }

        static Type Emit(Type face)
        {
            var type = Module.DefineType("Stand" + Made.Count, TypeAttributes.Public, typeof(object), new[] { face });
            var field = type.DefineField("member", typeof(Member), FieldAttributes.Private);
            var constructor = type.DefineConstructor(MethodAttributes.Public, CallingConventions.Standard, new[] { typeof(Member) });
            var body = constructor.GetILGenerator();
            body.Emit(OpCodes.Ldarg_0);
            body.Emit(OpCodes.Call, typeof(object).GetConstructor(Type.EmptyTypes));
            body.Emit(OpCodes.Ldarg_0);
            body.Emit(OpCodes.Ldarg_1);
            body.Emit(OpCodes.Stfld, field);
            body.Emit(OpCodes.Ret);
            foreach (var method in new[] { face }.Concat(face.GetInterfaces()).SelectMany(each => each.GetMethods()))
            {
                if (method.IsAbstract) // others have a body in the interface
                {
                    Implement(type, field, method);
                }
            }
            return type.CreateTypeInfo().AsType();
        }

        static void Implement(TypeBuilder type, FieldInfo field, MethodInfo method)
        {
            var parameters = method.GetParameters().Select(each => each.ParameterType).ToArray();
            var made = type.DefineMethod(
                method.Name, MethodAttributes.Public | MethodAttributes.Virtual, method.ReturnType, parameters);
            var body = made.GetILGenerator();
            body.Emit(OpCodes.Ldarg_0);
            body.Emit(OpCodes.Ldfld, field);
            body.Emit(OpCodes.Ldstr, method.Name.StartsWith("get_") ? method.Name.Substring(4) : method.Name);
            body.Emit(OpCodes.Ldc_I4, parameters.Length);
            body.Emit(OpCodes.Newarr, typeof(object));
            for (var at = 0; at < parameters.Length; at++)
            {
                body.Emit(OpCodes.Dup);
                body.Emit(OpCodes.Ldc_I4, at);
                body.Emit(OpCodes.Ldarg, (short)(at + 1));
                body.Emit(OpCodes.Box, parameters[at]);
                body.Emit(OpCodes.Stelem_Ref);
            }
            body.Emit(OpCodes.Callvirt, typeof(Member).GetMethod("Invoke"));
            Return(body, method.ReturnType);
            type.DefineMethodOverride(made, method);
        }

        // Null is a value type's default.
        static void Return(ILGenerator body, Type type)
        {
            if (type == typeof(void))
            {
                body.Emit(OpCodes.Pop);
            }
            else if (type.IsValueType)
            {
                body.Emit(OpCodes.Call, typeof(Stand).GetMethod("Value").MakeGenericMethod(type));
            }
            else
            {
                body.Emit(OpCodes.Castclass, type);
            }
            body.Emit(OpCodes.Ret);
        }

        public static T Value<T>(object value) => value == null ? default(T) : (T)value;
    }
}
