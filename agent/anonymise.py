"""Release: what may leave, in the form its purpose allows. Pure: keys and consents are handed in.

Things leave as read, but a vehicle's positions outside its service hours leave as a 500 m mesh cell. A person's
measurements leave once for each purpose that is on: identified, or pseudonymous. Aggregates are made in `windows`.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone

from agent.mesh import mesh_code
from contract.consent import PURPOSES, Form, Purpose
from contract.ids import PersonId
from contract.record import Measured
from contract.sample import ClockQuality, Flag, Member, Position, Reading, Sample

JAPAN = timezone(timedelta(hours=9), "JST")
"""Japan has had no summer time since 1951, so no table of zones is needed on a gateway."""
MESH_LEVEL = 4
"""JIS X 0410 half mesh, about 500 m: the finest cell in which a person or a parked vehicle is shown."""


@dataclass(frozen=True, slots=True)
class ServiceHours:
    """Hours (Asia/Tokyo) of a vehicle in public service; `end` before `start` runs past midnight, equal: all day."""

    start: time
    end: time

    def covers(self, at: datetime, clock: ClockQuality) -> bool:
        """True when `at` lies in [start, end). A clock that may be wrong covers nothing but the whole day."""
        if self.start == self.end:
            return True
        if clock is not ClockQuality.SYNCHRONISED:
            return False
        local = at.astimezone(JAPAN).time()
        if self.start < self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end


def release_thing(sample: Sample, hours: ServiceHours | None) -> Measured:
    """A thing's sample as it leaves; outside `hours` only the mesh cell of its positions does."""
    members = sample.members
    if hours is not None and not hours.covers(sample.stamp.at, sample.stamp.clock):
        members = tuple(_coarse(member) for member in members if isinstance(member, Position))
    return Measured(sample.device, sample.stamp.at, sample.stamp.clock, members)


def release_person(sample: Sample, purpose: Purpose, person: PersonId, pseudonym: str) -> Measured:
    """A person's sample under one purpose that releases measurements as read (not statistics)."""
    if PURPOSES[purpose].form is Form.IDENTIFIED:
        return Measured(person, sample.stamp.at, sample.stamp.clock, sample.members)
    members = tuple(_coarse(member) if isinstance(member, Position) else member for member in sample.members)
    return Measured(pseudonym, sample.stamp.at, sample.stamp.clock, members)


def _coarse(position: Position) -> Member:
    if position.flag in (Flag.FAIL, Flag.MISSING):
        return Reading("mesh_cell", None, Flag.MISSING)
    return Reading("mesh_cell", float(mesh_code(position.lat_deg, position.lon_deg, MESH_LEVEL)), position.flag)
