#!/bin/busybox sh
# The first process of the machine that test_cgroup2_for_real.py boots. Each part ends in a line `PART name: status`.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp LANG=C.UTF-8

# A root of its own above the initrd: pivot_root is refused from an initrd itself.
if [ "$1" != inside ]; then
    mount -o bind / /whole
    exec chroot /whole /init inside
fi
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup
chmod 1777 /tmp /dev/shm
ip link set lo up
stty -F /dev/ttyS0 -onlcr

word() { sed -n "s/.*engine\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
python=$(word python) tree=$(word tree) PYTHONPATH=$(word path)
export PYTHONPATH
cd "$tree" || reboot -f
top=/sys/fs/cgroup
echo "+memory +cpu +pids" >$top/cgroup.subtree_control
echo "MACHINE $(uname -r), $(cat $top/cgroup.controllers)"

AS_USER='import os, pwd, sys
user = pwd.getpwnam(sys.argv[1])
os.setgroups([]), os.setgid(user.pw_gid), os.setuid(user.pw_uid)
os.execv(sys.argv[2], sys.argv[2:])'

# part NAME CGROUP USER PYTEST-ARGUMENTS...: pytest in a cgroup, as a user. One that hangs is ended.
part() {
    local name=$1 cgroup=$2 user=$3
    shift 3
    mkdir -m 1777 "/tmp/$name"
    # The watcher that `timeout` is stays outside: an engine moves only what descends from it.
    TMPDIR="/tmp/$name" timeout "$(word longest_s)" sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$cgroup" \
        "$python" -P -c "$AS_USER" "$user" "$python" -P -m pytest -q --color=no --tb=short "$@"
    echo "PART $name: $?"
}

as_root() {
    mkdir $top/engine.scope
    part service $top/engine.scope root -m "not qemu and not guest" tests/sandbox/test_cells.py \
        tests/sandbox/test_cgroup2_files.py tests/sandbox/test_choose.py tests/sandbox/test_polling_trees.py \
        tests/sandbox/test_pool.py tests/sandbox/test_stale_engines.py
    part engine $top/engine.scope root -m guest tests/qemu
}

as_user() {
    # What `systemd-run --user --scope -p Delegate=yes` gives a user: a cgroup of its own.
    mkdir -p $top/delegated.scope
    chown user $top/delegated.scope $top/delegated.scope/cgroup.procs $top/delegated.scope/cgroup.subtree_control
    part delegated $top/delegated.scope user -m "not qemu and not guest" tests/sandbox/test_cells.py \
        -k "hog or frozen or killing or closing or anew or quota or fork_loop or later"

    # A user's session as systemd makes it: delegated at the top, controllers handed on, a shell beside the engine.
    session=$top/user@1000.service
    mkdir -p $session/app.slice/shell.scope
    "$python" -c 'import os, sys; os.setxattr(sys.argv[1], "user.delegate", b"1")' $session
    echo "+memory +pids" >$session/cgroup.subtree_control
    echo "+memory +pids" >$session/app.slice/cgroup.subtree_control
    chown -R user $session
    sleep 100000 &
    echo $! >$session/app.slice/shell.scope/cgroup.procs
    part session $session/app.slice/shell.scope user -m "not qemu and not guest" tests/sandbox/test_cells.py \
        -k "hog or frozen or fork_loop"
}

as_root >/tmp/as_root.log 2>&1 &
first=$!
as_user >/tmp/as_user.log 2>&1 &
wait $first $!
cat /tmp/as_root.log /tmp/as_user.log
left=$(find $top -name 'invocation-engine-*')
echo "LEFT ${left:-nothing}"
reboot -f
