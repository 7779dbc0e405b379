// A hostile function in JavaScript. Its event names the attack; without one it behaves and says how often it was called.

import { execFileSync, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { Worker } from "node:worker_threads";

const PIECE = 4 << 20;
const held = [];
let served = 0;

const said = (step) => {
    try {
        step();
        return "done";
    } catch (error) {
        return error.code ?? error.name;
    }
};

const attacks = {
    spawns: async () => {
        const children = [];
        for (;;) {
            const child = spawn("/bin/sleep", ["1000"], { stdio: "ignore" });
            const refusal = await new Promise((told) => {
                child.once("spawn", () => told(""));
                child.once("error", (error) => told(error.code));
            });
            if (refusal) {
                return [children.length, refusal];
            }
            children.push(child);
        }
    },
    takesMemory: () => {
        for (;;) {
            held.push(Buffer.alloc(PIECE, 1));
        }
    },
    takesTheHeap: () => {
        for (;;) {
            held.push(new Array(1 << 16).fill(0).map((_, number) => ({ number })));
        }
    },
    childTakesMemory: () => execFileSync("/bin/sh", ["-c", "tail /dev/zero"]).length,
    opensFiles: () => {
        const open = [];
        const refusal = said(() => {
            for (;;) {
                open.push(openSync("/dev/null"));
            }
        });
        open.forEach(closeSync);
        return [open.length, refusal];
    },
    fillsTmp: () => {
        const refusal = said(() => {
            for (let number = 0; ; number++) {
                writeFileSync(`/tmp/much-${number}`, Buffer.alloc(PIECE));
            }
        });
        const files = readdirSync("/tmp").filter((name) => name.startsWith("much-"));
        files.forEach((name) => rmSync(`/tmp/${name}`));
        return [refusal, files.length];
    },
    reads: ({ paths }) => Object.fromEntries(paths.map((path) => [path, said(() => readFileSync(path))])),
    writes: ({ paths }) => Object.fromEntries(paths.map((path) => [path, said(() => writeFileSync(path, ""))])),
    signals: ({ pids }) => pids.map((pid) => said(() => process.kill(pid, "SIGKILL"))),
    endsAll: () => {
        process.kill(-1, "SIGKILL");
        for (;;) {
            // until its own end
        }
    },
    processes: () => readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number),
    ownPid: () => process.pid,
    floods: ({ lines }) => {
        for (let number = 0; number < lines; number += 100) {
            writeSync(1, `${"y".repeat(99)}\n`.repeat(100));
        }
    },
    exits: ({ status }) => process.exit(status),
    ends: ({ signal }) => {
        process.kill(process.pid, signal);
        return new Promise(() => {});
    },
    aborts: () => process.abort(),
    spins: () => {
        for (;;) {
            served += 0;
        }
    },
    leavesADaemon: () => spawn("/bin/sleep", ["1000"], { detached: true, stdio: "ignore" }).unref(),
    leavesThreads: () => {
        for (let number = 0; number < 4; number++) {
            new Worker("for (;;) {}", { eval: true }).unref();
        }
    },
};

export const handler = async (event) => {
    served += 1;
    if (!event?.attack) {
        return { served };
    }
    console.log("attacking");
    return attacks[event.attack](event.how ?? {});
};
