"""Small programs, each with something of its own in memory: what init does, what the restored process says of it."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    init: str
    after: str
    answer: object


PROGRAMS = {
    "plain state": Program(
        """
        x = {"a": [1, 2.5, None]}
        x["self"] = x
        """,
        """
        say([x["a"], x["self"] is x])
        """,
        [[1, 2.5, None], True],
    ),
    "a big heap": Program(
        """
        x = [str(i) * 3 for i in range(300000)]
        """,
        """
        say([len(x), x[299999]])
        """,
        [300_000, "299999" * 3],
    ),
    "big blocks": Program(
        """
        x = bytearray(64 << 20)
        x[33 << 20] = 7
        """,
        """
        say([sum(x[32 << 20:34 << 20]), len(x)])
        """,
        [7, 64 << 20],
    ),
    "a half-consumed generator": Program(
        """
        g = (i * i for i in range(9))
        next(g)
        next(g)
        """,
        """
        say(list(g))
        """,
        [4, 9, 16, 25, 36, 49, 64],
    ),
    "closures and iterators": Program(
        """
        def f():
            n = [5]
            def g():
                n[0] += 1
                return n[0]
            return g
        g = f()
        g()
        i = iter({1: 2, 3: 4}.items())
        next(i)
        """,
        """
        say([g(), list(i)])
        """,
        [7, [[3, 4]]],
    ),
    "C extensions with static data": Program(
        """
        import datetime, decimal, _ctypes, zlib, sqlite3
        decimal.getcontext().prec = 7
        c = zlib.compressobj()
        head = c.compress(b"a" * 99)
        d = sqlite3.connect(":memory:")
        d.execute("create table t(x)")
        """,
        """
        d.execute("insert into t values (3)")
        inflated = zlib.decompress(head + c.flush())
        say([str(decimal.Decimal(1) / 3), len(inflated), d.execute("select * from t").fetchall()])
        """,
        ["0.3333333", 99, [[3]]],
    ),
    "exceptions": Program(
        """
        def f(n):
            return 1 / n
        """,
        """
        try:
            f(0)
        except ZeroDivisionError as e:
            say(str(e))
        """,
        "division by zero",
    ),
    "a handler for a signal": Program(
        """
        import os, signal
        seen = []
        signal.signal(signal.SIGUSR1, lambda *a: seen.append(1))
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        """,
        """
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR1)
        say([len(seen), signal.getsignal(signal.SIGUSR2).name])
        """,
        [1, "SIG_IGN"],
    ),
    "blocked signals": Program(
        """
        import signal
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        """,
        """
        say([int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, ())])
        """,
        [int(signal.SIGUSR1)],
    ),
    "os.fork": Program(
        """
        import os
        """,
        """
        pid = os.fork()
        if not pid:
            os._exit(3)
        say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """,
        3,
    ),
    "subprocess": Program(
        """
        import subprocess
        """,
        """
        say(subprocess.run(["sh", "-c", "echo yes"], capture_output=True, text=True).stdout)
        """,
        "yes\n",
    ),
    "threads": Program(
        """
        import threading, concurrent.futures as f
        """,
        """
        squares = f.ThreadPoolExecutor(4).map(lambda n: n * n, range(9))
        say([*squares, threading.current_thread() is threading.main_thread()])
        """,
        [0, 1, 4, 9, 16, 25, 36, 49, 64, True],
    ),
    "multiprocessing": Program(
        """
        import multiprocessing
        """,
        """
        q = multiprocessing.get_context("fork").SimpleQueue()
        p = multiprocessing.get_context("fork").Process(target=q.put, args=(5,))
        p.start()
        v = q.get()
        p.join()
        say([v, p.exitcode])
        """,
        [5, 0],
    ),
    "ctypes callbacks": Program(
        """
        import ctypes
        K = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
        back = K(lambda a, b: b[0] - a[0])
        libc = ctypes.CDLL(None)
        a = (ctypes.c_int * 5)(3, 1, 4, 1, 5)
        """,
        """
        libc.qsort(a, 5, 4, back)
        say(list(a))
        """,
        [5, 4, 3, 1, 1],
    ),
    "faulthandler": Program(
        """
        import faulthandler
        faulthandler.enable()
        """,
        """
        say(faulthandler.is_enabled())
        """,
        True,
    ),
    "the garbage collector": Program(
        """
        import gc, weakref
        class A:
            pass
        a = A()
        a.a = a
        w = weakref.ref(a)
        del a
        """,
        """
        gc.collect()
        say([w() is None, gc.get_count()[2] >= 0])
        """,
        [True, True],
    ),
    "an event loop": Program(
        """
        import asyncio
        """,
        """
        async def f():
            await asyncio.sleep(0)
            return 4
        say(asyncio.run(f()))
        """,
        4,
    ),
    "context variables": Program(
        """
        import contextvars
        v = contextvars.ContextVar("v")
        v.set(3)
        """,
        """
        say(v.get())
        """,
        3,
    ),
    "memory without permissions": Program(
        """
        import ctypes, mmap
        m = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE)
        m[5] = 9
        libc = ctypes.CDLL(None)
        at = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(m)))
        libc.mprotect(at, 1 << 20, 0)
        """,
        """
        libc.mprotect(at, 1 << 20, 3)
        say([m[5], sum(m[:])])
        """,
        [9, 9],
    ),
    "a file mapped for itself": Program(
        """
        import mmap, tempfile, os
        f = tempfile.NamedTemporaryFile(dir="/tmp")
        f.write(b"x" * 300000)
        f.flush()
        m = mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE)
        m[150000:150003] = b"abc"
        f.close()
        """,
        """
        say([m[149999:150004].decode(), m[299999:].decode()])
        """,
        ["xabcx", "x"],
    ),
    "the id of the thread": Program(
        """
        import os, signal, threading
        """,
        """
        signal.signal(signal.SIGUSR1, lambda *a: say("signalled"))
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        """,
        "signalled",
    ),
    "memory that a fork wipes": Program(
        """
        import mmap
        m = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE)
        m[0] = 7
        m.madvise(18)
        """,
        """
        import os, signal
        n = m[0]
        m[0] = 8
        pid = os.fork()
        if not pid:
            os._exit(m[0])
        say([n, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])])
        """,
        [0, 0],
    ),
    "a page that was forked and is not writable, but was written to": Program(
        """
        import ctypes
        libc = ctypes.CDLL(None)
        plain = [line.split() for line in open("/proc/self/maps") if "r--p" in line and "/libc.so" in line]
        at = max(int(fields[0].split("-")[1], 16) for fields in plain) - 1
        page, before = at & -4096, ctypes.string_at(at, 1)[0]
        libc.mprotect(ctypes.c_void_p(page), 4096, 3)
        ctypes.memset(at, before ^ 0x5A, 1)
        libc.mprotect(ctypes.c_void_p(page), 4096, 1)
        """,
        """
        say(ctypes.string_at(at, 1)[0] ^ before)
        """,
        0x5A,
    ),
    "hooks of a fork": Program(
        """
        import os
        told = []
        os.register_at_fork(before=lambda: told.append("before"), after_in_child=lambda: told.append("child"))
        """,
        """
        say(told)
        """,
        ["before", "child"],
    ),
}
