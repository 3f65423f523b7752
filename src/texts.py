# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Every text that an operator reads in a status, or as the failure of an action.

What is in braces is filled in by whoever shows it. docs/reference/statuses.md has each of them
with its meaning and what to do, ``...`` in place of braces; a test compares the two. Texts that
users of the charm rely on are marked: their beginning stays.
"""

from __future__ import annotations

# Blocked: the operator acts.

IMAGE_LACKS = (
    "The image of container {container} has no {names}: attach another one as redis-image"
)
PORT_TAKEN = "Port {port} is taken by {who}: stop it, or attach another image as redis-image"
REFUSES = (
    "{kind} refuses the charm: give users default and operator all rights and their passwords"
)
VOLUME_FULL = (
    "The volume is full ({free} KiB left): free space on it, or grow its claim with kubectl"
)
CANNOT_PERSIST = "Redis cannot write to its volume: kubectl logs {pod} -c redis says why"
ALL_LOST = "No unit has any data: attach the old volumes, or run start-empty on {leader}"
NOT_MOVED = "The primary could not be moved: {reason}"

CHOSEN_NOT_THERE = "system-users: there is no such secret"
CHOSEN_NOT_GRANTED = "system-users: the secret is not granted: juju grant-secret NAME {app}"
CHOSEN_NO_USER = "system-users: there is no user {user}; there are {users}"
CHOSEN_EMPTY = "system-users: the password of {user} is empty"
CHOSEN_SHORT = "system-users: the password of {user} is shorter than {least} characters"
CHOSEN_LONG = "system-users: the password of {user} is longer than {most} characters"
CHOSEN_CHARACTERS = (
    "system-users: the password of {user} has other characters than ASCII letters, digits and "
    "signs without space, quote and backslash"
)
BAD_SETTING = "Set {option} to {may_be}"
BAD_DOWN_AFTER = "Set down-after to a value from {least} to {most}"
NO_FILES = "Not enough certificates found: attach {files} or relate certificates"
"""Users rely on its beginning."""
NOT_A_CERTIFICATE = "{name} is not a certificate in PEM format"
NOT_A_KEY = "{name} is not an unencrypted private key in PEM format"
OTHER_KEY = "{key} does not belong to {certificate}"
NOT_SIGNED = "{certificate} is not signed by {authority}"
HAS_EXPIRED = "{name} has expired on {date}"
NOT_VALID_YET = "{name} is valid only from {date}"
OLD_LIBRARY = (
    "{apps} uses an old redis library: refresh it to a charm that takes a password, or name it in "
    "applications-without-password"
)
OLD_LIBRARY_TLS = (
    "{apps} uses an old redis library, which knows no TLS: refresh it to a charm that does"
)
BAD_REQUEST = "{app} asks by valkey-client for what it does not get: {why}"
OTHER_PYTHON = "Packed for Python {packed}, this pod has {running}: {do}"
"""``foreign`` shows it; it imports nothing, so it has the words too."""

# Waiting: another unit, Juju or time acts.

NO_PEERS = "Waiting for Juju to set up the peer relation"
NO_PEBBLE = "Waiting for Kubernetes to start {containers}"
NO_STORAGE = "Waiting for Juju to attach the volume of the storage database"
NO_PASSWORDS = "Waiting for Juju to give the passwords"
NO_PRIMARY = "Waiting for the leader to name a primary"
NO_CERTIFICATE = "Waiting for the certificate of {unit} from the relation certificates"
NO_SENTINEL = "Waiting for Sentinel to answer on port {port}"
SENTINEL_STOPPED = "Waiting for Sentinel to answer: its service is not running"
NO_REDIS = "Waiting for Redis..."
"""Users rely on it."""
FEW_SENTINELS = (
    "Waiting for majority: {answer} of {all} Sentinels answer, {needed} are needed; "
    "no answer from {units}"
)
"""Users rely on its beginning; so for the next three."""
FEW_MET = "Waiting for majority: Sentinel of {unit} knows {met} of {all}, {needed} are needed"
FEW_HEARD = "Waiting for majority: Sentinel of {unit} counts {all} and hears fewer than {needed}"
NO_AGREEMENT = "Waiting for majority: the Sentinels name {units} as primary, and have to agree"
FAILING_OVER = "A failover is under way: another unit takes over from {unit}"
PRIMARY_DOWN = "The primary {unit} is down: waiting for the Sentinels to name another"
PRIMARY_ALONE = "The primary {unit} is down, and nobody can take over: waiting for it to come back"
PRIMARY_LOADING = "The primary {unit} is loading its data: waiting for it to answer"
PRIMARY_REFUSES = "The primary {unit} refuses the charm: its own status says what to do"
PRIMARY_IS_REPLICA = "The Sentinels name {unit} as primary, and it is a replica of {other}"
NO_LINK = "Waiting for the replica to be in sync with {unit}"
FENCED = "Primary refuses writes: {synced} of {needed} required replicas in sync"
UNHEARD = "Primary refuses writes: most Sentinels have not heard yet that it is back"
NAMES_ANOTHER = "Sentinel of {unit} names {named} as primary, the leader has recorded {recorded}"
STILL_COUNTS = "Sentinel of {unit} still counts {others}"
NOT_MET = "Sentinel of {unit} has not met {others}"
OTHER_QUORUM = "Sentinel of {unit} has quorum {quorum}, {needed} is needed"
LEAVING_WAITS = "Leaving: {reason}"

# Maintenance: at work, and nothing of the above holds.

LOADING = "Redis is loading its data"
LEAVING = "Leaving"
ROTATING = "Changing passwords"
ROTATING_WAITS = "Changing passwords: waiting for {units}"
ROTATING_CLIENT = "Changing passwords: waiting for {apps} to take the new one"
TLS_CHANGES = "Turning TLS {on_or_off}: waiting for {units}"

# Active, with something to know.

OPEN = "Redis is open without a password for {apps}"
EXPIRES_SOON = "The certificate of {unit} expires on {date}"
SERVICE_STALE = (
    "The Service {app} may lead to a replica: Kubernetes does not let it follow the primary"
)
SLOW_VOLUME = "The volume is slow: Redis waited {seconds:.1f} s for a write"

# An action failed.

NOT_ON_LEADER = "Run this action on the leader"
NO_SUCH_UNIT = "{unit} is not a unit of this application; choose from {units}"
NOT_SWITCHED = "The primary stays as it is: {reason}"
NO_SUCH_USER = "There is no user {user}; there are {users}"
CHOSEN_ELSEWHERE = "The password of {user} is chosen by the option system-users; change it there"
NO_SUCH_RELATION = "No application has the user {user}; there are {users}"
STILL_ROTATING = "Passwords are being changed, on {units}; try again in a moment"
NOT_CONFIRMED = "All data are gone for good then: confirm with application={app}"
NOT_ALL_LOST = "Not all is lost: {reason}"
PASSWORDS_REFUSED = "Juju does not give the passwords; try again in a moment"
PASSWORDS_NOT_MADE = "The leader has not made the passwords yet; try again in a moment"

# Reasons: what follows LEAVING_WAITS, NOT_MOVED and NOT_SWITCHED.

WHY_NO_PASSWORDS = "Juju does not give the passwords"
WHY_UNITS_UNKNOWN = "Juju does not say which units there are"
WHY_NO_KUBERNETES = "Kubernetes gives no answer"
WHY_FIRST_RECORD = "the first primary is recorded"
WHY_TENANTS = "an application has not been answered yet"
WHY_ROTATING = "the passwords are being changed"
WHY_NO_ANSWER = "Redis or Sentinel gives no answer"
WHY_NOT_SERVING = "Redis does not serve yet"
WHY_NOT_COMPLETE = "Sentinel does not know all units yet"
WHY_SILENT_PRIMARY = "the Redis of this unit is the primary and gives no answer"
WHY_NO_SUCCESSOR = "no unit that stays is the primary yet"
WHY_STILL_FAILS_OVER = "this unit's Sentinel still fails over"
WHY_NO_MAJORITY = "the Sentinels do not reach their majority"
WHY_FAILING_OVER = "a failover is under way"
WHY_BY_ITSELF = "{unit} leaves as the primary and hands over by itself"
WHY_NOT_NAMED = "the old primary follows another and the Sentinels do not name it yet"
WHY_NO_OTHER = "the primary is waited for, since nobody else has been in sync"
WHY_DATA_UNKNOWN = "not every unit is there yet to say what data it has: no answer from {units}"
WHY_ANSWERS = "{units} has data or is about to copy them"
WHY_NEVER_BEGAN = "the first primary has not been up yet, and needs no permission"
WHY_NEWEST = "the unit with the newest data takes over"
WHY_NOT_NOTICED = "not every Sentinel has noticed that the primary is gone: {units}"
WHY_NOBODY_FIT = "no replica is in sync to take over: {units}"
WHY_ANOTHER = "another unit is handing over"
WHY_NOT_SEEN = "the Sentinel has not seen yet who is eligible"
WHY_STALE = "Sentinels still count units that left: {units}"
WHY_OUT_OF_TIME = "the time of this hook is over"
WHY_STUCK = "what was ordered has not taken effect yet"

# Reasons: what follows BAD_REQUEST.

WHY_BAD_VERSION = "its version is neither v0 nor v1"
WHY_NOT_A_LIST = "its requests are no list of objects in JSON"
WHY_BAD_ID = "a request has no request-id of its own, of letters and digits"
WHY_TOO_MANY = "it has more than {most} requests"
WHY_BAD_PREFIX = "a resource is no prefix of letters, digits and _.:/@- with or without a *"
WHY_ENTITY = "a request is for an entity, and there are users only"
WHY_CHANGED = "a request has another resource than before, and keeps {resource}"

# How a replica is not fit to take over.

UNFIT_LOADING = "{unit} loads its data"
UNFIT_SILENT = "{unit} gives no answer"
UNFIT_PRIMARY = "{unit} is a primary itself"
UNFIT_FOLLOWS = "{unit} follows {other}"
UNFIT_NOT_IN_SYNC = "{unit} is not in sync yet"
UNFIT_NOT_LOGGED = "{unit} has not written all its data to its own file yet"
UNFIT_NO_SENTINEL = "Sentinel of {unit} gives no answer"
UNFIT_SENTINEL = "Sentinel of {unit} has not heard of the last failover"
UNFIT_NOBODY = "no other unit stays"

# What a node answered; also in the log.

NODE_SILENT = "{host}:{port} gives no answer: {error}"
NODE_REFUSED = "{host}:{port} refused: {error}"
NODE_LOADS = "{host}:{port} loads its data"
NODE_HANDED_OVER = "{host} is being handed over by another unit"
NODE_NOT_CALM = "Sentinel reports {host} as {state}: the handover is refused"
NODE_NO_PRIMARY = "{host} is no longer primary"
NODE_LAGS = "{host} does not catch up with {source}"
NODE_GAVE_UP = "Sentinel gave up the failover from {host}"
NODE_ELIGIBLE = "{host} has become eligible beside {target}"
NODE_NOT_PROMOTED = "nobody was promoted within {seconds} s"
