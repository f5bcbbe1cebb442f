"""The one place that builds or reads a topic. MQTT `kanmon/<gw>/up/...` is NATS subject `kanmon.<gw>.up....`."""

from contract.errors import ProtocolError
from contract.ids import GatewayId, is_id
from contract.record import Stream

ROOT = "kanmon"
HELLO = "hello"
RECEIPT = "receipt"

STREAM_SUBJECTS = f"{ROOT}.*.up.>"
"""What the hub's JetStream stream captures."""
NEW_SUBJECT = f"{ROOT}.hub.new"
"""Core NATS subject under which ingest announces what it has committed; 'hub' is no gateway's name."""
RESERVED_NAMES = frozenset({"hub"})


def up(gateway: GatewayId, leaf: Stream | str) -> str:
    """MQTT topic on which the gateway publishes `leaf`: a stream's name, or HELLO."""
    return f"{ROOT}/{gateway}/up/{leaf}"


def down_filter(gateway: GatewayId) -> str:
    """MQTT filter of everything the hub says to the gateway (asks for `down` and `down/...` alike)."""
    return f"{ROOT}/{gateway}/down/#"


def down_leaf(gateway: GatewayId, topic: str) -> str:
    """The leaf of a downward MQTT topic; ProtocolError when it is not one of this gateway's."""
    prefix = f"{ROOT}/{gateway}/down/"
    if not topic.startswith(prefix):
        raise ProtocolError("message on a topic that is not this gateway's")
    return topic.removeprefix(prefix)


def down_subject(gateway: GatewayId, leaf: str) -> str:
    """NATS subject on which the hub publishes `leaf` (RECEIPT, HELLO) to the gateway."""
    return f"{ROOT}.{gateway}.down.{leaf}"


def parse_up_subject(subject: str) -> tuple[GatewayId, str]:
    """(gateway, leaf) of an upward NATS subject; ProtocolError when it has another form."""
    parts = subject.split(".")
    if len(parts) != 4 or parts[0] != ROOT or parts[2] != "up" or not is_id(parts[1]):
        raise ProtocolError("subject is not kanmon.<gateway>.up.<leaf>")
    return GatewayId(parts[1]), parts[3]


def gateway_permissions(gateway: GatewayId) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """NATS subjects the gateway may publish to and subscribe to; nothing else is allowed."""
    return (f"{ROOT}.{gateway}.up.>",), (f"{ROOT}.{gateway}.down", f"{ROOT}.{gateway}.down.>")
