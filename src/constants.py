# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Names, ports, paths and time budgets: each appears here once."""

PEER_RELATION = "redis-peers"
TLS_KEY = "tls"
"""In the databag of a unit: how far it is with TLS. Also read before anything is imported."""
CERTIFICATES_RELATION = "certificates"
CLIENT_RELATION = "redis"
TENANT_RELATION = "valkey-client"
STORAGE = "database"
REDIS = "redis"
"""The container of Redis and the service in it."""
SENTINEL = "sentinel"
"""The container of Sentinel and the service in it."""
EXPORTER_SERVICE = "redis_exporter"
EXPORTER_MARK = "STARTED_FOR"
"""Variable of the exporter's service that changes when it has to start again."""
HANDOVER_SERVICE = "handover"
"""Stands by to move the primary role when Pebble stops the services of its pod."""
SYNC_SERVICE = "sync"
"""Has the disk keep the append-only file."""
NAMES_SERVICE = "names"
"""Keeps the addresses of the peers in /etc/hosts."""
WAKE_SERVICE = "wake"
"""Sleeps a little and sends the charm a notice: how a hook asks for another turn."""

OWN_NAMES = frozenset(
    (
        REDIS,
        SENTINEL,
        EXPORTER_SERVICE,
        HANDOVER_SERVICE,
        SYNC_SERVICE,
        NAMES_SERVICE,
        WAKE_SERVICE,
    )
)
"""A service of the image under one of these never runs, whichever container it is in."""

REDIS_PORT = 6379
SENTINEL_PORT = 26379
NODE_PORTS = {REDIS: REDIS_PORT, SENTINEL: SENTINEL_PORT}
"""By kind of node."""
EXPORTER_PORT = 9121

NOTICE_KEY = "charmhub.io/redis-k8s/look-again"
"""One key for all notices, so that Pebble and Juju fold a burst of them into one event."""

REPL_TIMEOUT_S = 10
"""Silence after which either end of a replication link gives it up."""

SENTINEL_PERIODS_MS = {
    "info-period": "1000",
    "ping-period": "250",
    "min-link-reconnect-period": "1000",
    "slave-reconf-timeout": "100",
    "tilt-period": "5000",
}
"""What Sentinel keeps for all it watches, under DEBUG, and not over a restart: how often it asks
nodes for INFO and pings them, gives up a silent connection to try the name anew, how long it waits
in a failover to see the replicas that it has turned to the new primary, and how long it does
nothing after its clock made a leap. By default 10 s, 1 s, 15 s, 10 s and 30 s: with these, what
changes is seen in a second, and the Sentinel that fails over records the new primary a second
earlier; until it does, it gives clients the old one."""

START_FENCE = "1000"
"""``min-replicas-to-write`` of a primary that came back and is not heard by most Sentinels yet."""

START_DOWN_AFTER_MS = 10_000
"""``down-after-milliseconds`` of a Sentinel whose pod has just come up, until it hears its
primary. Where all pods come up at once, it counts the absence of the primary from its own start;
names that the DNS has just denied are denied for 5 s more. A failover would find nobody to
promote, and hold the primary back for as long as it lasts."""

# Paths in the workload containers.
STORAGE_DIR = "/var/lib/redis"
SENTINEL_DIR = f"{STORAGE_DIR}/sentinel"
SENTINEL_CONF = f"{SENTINEL_DIR}/sentinel.conf"
CONFIG_DIR = "/etc/redis-k8s"
LIVE_DIR = f"{CONFIG_DIR}/live"
"""The only directory below CONFIG_DIR that the user who runs Redis may write to. Nothing in it is
run or believed by root."""
REDIS_CONF = f"{CONFIG_DIR}/redis.conf"
"""What the charm wants. The guarded start copies it to LIVE_CONF, which Redis may rewrite."""
LIVE_CONF = f"{LIVE_DIR}/redis.conf"
USERS_ACL = f"{CONFIG_DIR}/users.acl"
CLUSTER_ENV = f"{CONFIG_DIR}/cluster.env"
"""Shell variables for the scripts: hosts, names, and the operator's password."""
TLS_DIR = f"{CONFIG_DIR}/tls"
"""Directories with a certificate and a key each, and files with authorities; by their digests."""
SENTINEL_SERVES = f"{LIVE_DIR}/sentinel-serves"
"""What the Sentinel that runs was started to serve."""
LIB = f"{CONFIG_DIR}/lib.sh"
"""What the scripts share."""
DECIDE = f"{CONFIG_DIR}/decide.awk"
"""What the guarded start decides by."""
START_SENTINEL = f"{CONFIG_DIR}/start-sentinel"
EXPORTER_PASSWORD = f"{CONFIG_DIR}/exporter.json"
BIRTH_PERMIT = f"{LIVE_DIR}/may-start-empty"
START_REDIS = f"{CONFIG_DIR}/start-redis"
HAND_OVER = f"{CONFIG_DIR}/hand-over"
KEEP_NAMES = f"{CONFIG_DIR}/keep-names"
WATCH_SYNC = f"{CONFIG_DIR}/watch-sync"
SYNC_LOG = f"{CONFIG_DIR}/sync-log"
START_EXPORTER = f"{CONFIG_DIR}/start-exporter"
ON_SWITCH = f"{CONFIG_DIR}/on-switch"
WAKE = f"{CONFIG_DIR}/wake"
WAKE_FOR = f"{CONFIG_DIR}/wake-for"
"""What the hook waits for that has started WAKE."""
ON_EVENT = f"{CONFIG_DIR}/on-event"
EXPORTER_PATHS = (
    "/bin/redis_exporter",
    "/usr/bin/redis_exporter",
    "/bin/prometheus-redis-exporter",
    "/usr/bin/prometheus-redis-exporter",
)
"""Where images have the exporter: the charmed image, others, Debian's package."""
PEBBLE_SOCKET = "/charm/containers/{}/pebble.socket"
"""Where the charm reaches the Pebble of a container."""
MIN_FREE_BYTES = 1 << 20
"""With less room than this the volume counts as full."""

SECRET_LABEL = "credentials"
"""Of the secret with the passwords of the application."""
OPERATOR_SECRET_KEY = "operator-password"

# Users of Redis and of Sentinel (passwords/users.py).
OPERATOR_USER = "operator"
REPLICATION_USER = "replication"
SENTINEL_USER = "sentinel"
"""The user by which Sentinel logs in to Redis."""
PEERS_USER = "peers"
"""The user by which one Sentinel logs in to another."""
EXPORTER_USER = "exporter"

# Time budgets.
HOOK_BUDGET_S = 5.0
"""How long one hook may look, act and look again."""
ANSWER_BUDGET_S = 1.0
"""How long a hook waits for hosts that do not answer; all are asked at once."""
SOCKET_TIMEOUT_S = 0.8
"""For one connection and for one reply; below ANSWER_BUDGET_S, so that the error has a name."""
TURN_PAUSE_S = 0.1
"""Between two looks of one hook, for what was ordered to show."""
LEAVE_PAUSE_S = 0.5
"""The same for a unit that waits, for longer than HOOK_BUDGET_S, until it may leave."""
FORGET_BUDGET_S = 2.5
"""For one Sentinel to know all nodes again after a reset: twice the INFO period, and some."""
PEBBLE_KILL_DELAY_S = 20
"""Redis may need this long to end in good order; a pod's grace period is 30 s."""

NOTICE_PAUSE_S = 2.0
"""Before a hook that Juju gave no answer has itself woken again."""
READMIT_BUDGET_S = 1.0
"""After a handover, for the replicas to follow the new primary."""

# Sentinel.
ELIGIBLE = 100
NOT_ELIGIBLE = 0
"""``replica-priority`` of a replica that may be promoted, and of one that may not."""
DOWN_AFTER_LIMITS_MS = (1000, 60000)

HEARD_MS = 1000
"""A Sentinel hears the primary when that has answered it within this time."""

# Handover.
HANDOVER_CHANNEL = "redis-k8s:handover"
"""Whoever moves the primary's role is subscribed to it, on the primary."""
CLAIM_LIMIT_S = 30
"""A claim lasts for less. One that is older is of a pod that died over it without a goodbye: its
connection lasts until TCP gives up, minutes later."""
OFFSETS_BUDGET_S = 0.5
"""How long the target may take to reach the offset of the paused primary."""
SWITCH_BUDGET_S = 10.0
"""From SENTINEL FAILOVER to the promotion. Longer than Sentinel goes on with it, in TILT too: as
long as it may still come, writes are held."""
MOMENT_MS = (650, 800)
"""The age of the target's INFO at which the failover starts: the next INFO then comes just after
the promotion, and Sentinel sees it at once (measured: 0.5 s instead of 1.3 s)."""
SCRIPT_MOMENT_MS = (550, 690)
"""The same for the script, which takes longer from one command to the next."""

_HANDOVER_POLL_S = 0.02
SCRIPT_NUMBERS = {
    # For one node to answer; for the Redis of a pod that is to follow another at once.
    "ANSWER_S": "1",
    "SWITCH_ANSWER_S": "2",
    "ELIGIBLE": str(ELIGIBLE),
    "NOT_ELIGIBLE": str(NOT_ELIGIBLE),
    "START_FENCE": START_FENCE,
    # The guarded start asks so often; and so often when nothing has changed for so long. A start
    # that has waited for so long may come that much later.
    "START_POLL_S": "0.2",
    "START_SLOW_S": "1",
    "HASTE_MS": "10000",
    "SAY_AGAIN_MS": "10000",
    # How long a primary that comes back leaves Sentinels that have missed it to fail over, and an
    # empty one the Sentinel that it has asked to: about what one takes, or failover-timeout.
    "NOTICED_LIMIT_MS": "4000",
    "FAILOVER_AGAIN_MS": "4000",
    # Where the kernel says what a container may take, version 2 or 1.
    "CGROUP_DIR": "/sys/fs/cgroup",
    # A primary that loads its data is looked at from then on, and is replaced if it needs so much
    # longer: about what that takes, and twice as much.
    "LOAD_LOOK_MS": "400",
    "LOAD_WORTH_MS": "2000",
    # A Sentinel goes for 5 s by what the others thought of the primary.
    "DOUBT_MS": "6000",
    # The handover asks so often, at most so many times: for what a Sentinel is to show, the offset
    # of the target, the replicas to follow it, and the end of a handover by the charm.
    "HANDOVER_POLL_S": str(_HANDOVER_POLL_S),
    "SHOWN_ATTEMPTS": "60",
    "OFFSETS_ATTEMPTS": str(round(OFFSETS_BUDGET_S / _HANDOVER_POLL_S)),
    "READMIT_ATTEMPTS": str(round(READMIT_BUDGET_S / _HANDOVER_POLL_S)),
    "CLAIM_ATTEMPTS": "200",
    "HANDOVER_CHANNEL": HANDOVER_CHANNEL,
    "CLAIM_LIMIT_S": str(CLAIM_LIMIT_S),
    "MOMENT_FROM_MS": str(SCRIPT_MOMENT_MS[0]),
    "MOMENT_TO_MS": str(SCRIPT_MOMENT_MS[1]),
    # How long what happens is gathered before the charm is told; and when whoever gathers it, or
    # "wake" (30 s at most, on a machine that keeps up), has died over that.
    "TELL_SOON_S": "1",
    "TELLING_LIMIT_MS": "3000",
    "WAKING_LIMIT_MS": "40000",
    # So often, a tenth of a second apart, a Sentinel that starts looks for its peers' names.
    "NAMES_ATTEMPTS": "30",
}
"""The numbers and names that scripts of both containers read, by the names of their variables."""

RECENT_S = 400
"""How far back a slow write of Redis counts. Juju runs update-status every 300 s, or later."""
